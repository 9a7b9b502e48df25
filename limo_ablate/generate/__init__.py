"""Completions of benchmark problems. Nothing heavy is imported before it is needed."""

from __future__ import annotations

from limo_ablate.generate.completions import completions

__all__ = ["completions"]
