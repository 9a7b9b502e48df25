"""Sections on factorial designs: heatmaps, main effects, interactions, variance components."""
