"""Blocks as designs: heatmaps, main effects, interactions, where the error comes from."""
