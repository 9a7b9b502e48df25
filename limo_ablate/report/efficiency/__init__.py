"""Data efficiency from the fitted curves, and accuracy against training cost."""
