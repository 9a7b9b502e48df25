"""Problems of counting: which day, month or letter comes some steps before or after another.

    Which letter of the alphabet is 3 letters after N?
    terse     The answer is Q.
    worked    1 O, 2 P, 3 Q. The answer is Q.

All problems of 2 to 10 steps; days and months go round, the alphabet ends. Small language models know the
sequences but don't count along them unless shown how (docs/smollm2.md). A hash of the problem orders them, so
training problems and test problems are disjoint and the first ones are a mixture.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Iterator
from typing import Any

from limo_ablate.core.errors import UserError

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip
SEQUENCES = {
    "day": ("Which day of the week", DAYS, True),
    "month": ("Which month", MONTHS, True),
    "letter": ("Which letter of the alphabet", tuple(string.ascii_uppercase), False),
}
"""Unit -> how its questions begin, its names, and whether the first follows the last."""
STEPS = range(2, 11)
TEST = 150
"""Number of test problems."""


def rows(split: str) -> list[dict[str, Any]]:
    """The rows of `train` or `test`; `level` is the number of steps, negative for steps back."""
    if split not in ("train", "test"):
        raise UserError(f"source=counting: split={split} must be train or test")
    ordered = sorted(_problems(), key=lambda row: hashlib.sha256(row["problem"].encode()).digest())
    return ordered[:TEST] if split == "test" else ordered[TEST:]


def _problems() -> Iterator[dict[str, Any]]:
    for unit, (question, names, cyclic) in SEQUENCES.items():
        for start in range(len(names)):
            for level in (sign * steps for steps in STEPS for sign in (1, -1)):
                if cyclic or 0 <= start + level < len(names):
                    yield _row(unit, question, names, start, level)


def _row(unit: str, question: str, names: tuple[str, ...], start: int, level: int) -> dict[str, Any]:
    direction, steps = (1, level) if level > 0 else (-1, -level)
    passed = [names[(start + direction * step) % len(names)] for step in range(1, steps + 1)]
    counted = ", ".join(f"{number} {name}" for number, name in enumerate(passed, 1))
    terse = f"The answer is {passed[-1]}."
    return {
        "id": f"{names[start]}{level:+d}",
        "problem": f"{question} is {steps} {unit}s {'after' if level > 0 else 'before'} {names[start]}?",
        "answer": passed[-1],
        "terse": terse,
        "worked": f"{counted}. {terse}",
        "level": level,
        "subject": unit,
    }
