"""Experiment tracking: every trial is a W&B run, offline unless told otherwise."""
