"""Wording that several packages share."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`, `1,200 trials`; `noun` in the singular."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
