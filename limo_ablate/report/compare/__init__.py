"""Comparison of two trials or cells (`compare`), and why a cell would be run (`why`)."""
