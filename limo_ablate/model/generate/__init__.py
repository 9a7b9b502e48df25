"""Completions of problems: engines, sampling, the cache of completions."""
