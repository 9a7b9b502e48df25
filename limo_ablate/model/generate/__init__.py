"""Completions of problems: engines, sampling, the cache of what was drawn."""
