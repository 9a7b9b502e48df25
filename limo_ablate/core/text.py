"""Wording that several packages share."""

from __future__ import annotations

import re

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline, marks that turn the direction of text, halves of characters."""

REPEATS, LOOP_CHARACTERS = 4, 100
"""A loop: the text ends in the same part at least 4 times in a row, over at least 100 characters."""


def printable(text: str) -> str:
    """`text` without characters that a terminal would obey: these are shown as `\\x1b` or, so that JSON stays
    JSON, `\\u009b`."""
    return OBEYED.sub(
        lambda found: f"\\x{ord(found[0]):02x}" if found[0] < " " else f"\\u{ord(found[0]):04x}", text
    )


def counted(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`, `1,200 trials`; `noun` in the singular."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def ends_in_a_loop(text: str) -> bool:
    """Whether `text` ends in a repetition, be it of a letter or of a paragraph."""
    tail = text[-LOOP_CHARACTERS // REPEATS :]
    start = len(text) - len(tail)
    # In a text of period p the tail occurs p characters earlier too; closer matches may be within a unit.
    while (start := text.rfind(tail, 0, start + len(tail) - 1)) >= 0:
        period = len(text) - len(tail) - start
        span = max(REPEATS * period, LOOP_CHARACTERS)
        if span > len(text):
            return False
        if text[-span:-period] == text[-span + period :]:
            return True
    return False
