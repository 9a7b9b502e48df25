"""Graders: from completions, and solutions of a pool, to grades."""
