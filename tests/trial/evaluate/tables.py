"""Verdicts of hand-made samples: for tests."""

from __future__ import annotations

import polars as pl

from limo_ablate.data.grade.votes import votes
from limo_ablate.verify import verify

STATUSES = {"c": "correct", "i": "incorrect", "u": "undecided"}


def verdicts(statuses: dict[str, str], level: float = 1) -> pl.DataFrame:
    """A problem's samples as letters, "ciiu"; each wrong answer is a class of its own."""
    rows = [
        {
            "problem": problem, "sample": i, "level": level, "status": STATUSES[letter], "answer": f"{i}",
            "boxed": letter == "c", "lenient": True, "rule": "text", "finish": "stop", "tokens": 4,
            "loops": False, "vote": 0 if letter == "c" else i + 1,
        }
        for problem, given in statuses.items()
        for i, letter in enumerate(given)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def voted(gold: str, *answers: str) -> list[int | None]:
    """The classes of a problem's boxed answers; an empty one is a completion without an answer."""
    return votes([verify(f"\\boxed{{{answer}}}" if answer else "", gold) for answer in answers], None)
