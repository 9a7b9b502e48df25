"""Wording that several packages share."""

from __future__ import annotations

import re

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline, marks that turn the direction of text, halves of characters."""


def printable(text: str) -> str:
    """`text` without characters that a terminal would obey: these are shown as `\\x1b` or, so that JSON stays
    JSON, `\\u009b`."""
    return OBEYED.sub(
        lambda found: f"\\x{ord(found[0]):02x}" if found[0] < " " else f"\\u{ord(found[0]):04x}", text
    )


def counted(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`, `1,200 trials`; `noun` in the singular."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
