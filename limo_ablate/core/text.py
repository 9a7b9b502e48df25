"""Wording that several packages share."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` without characters that a terminal would obey: these are shown as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def counted(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`, `1,200 trials`; `noun` in the singular."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
