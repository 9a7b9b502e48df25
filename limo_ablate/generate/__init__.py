"""Completions of benchmark problems. Nothing heavy is imported before it is needed."""

from __future__ import annotations

from limo_ablate.generate.completions import Asked, asked, completions

__all__ = ["Asked", "asked", "completions"]
