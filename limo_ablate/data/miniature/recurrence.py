"""The miniature's problems: recurrences modulo 100.

    Steps 8. Rule +7*3-4. Start x=26.

The three operations of the rule are applied in turn, `steps` times, and the last two digits are kept. The
number of steps is the difficulty. A hash of the problem assigns it to training or testing, so the two are
disjoint for any seed and size.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from limo_ablate.core.errors import UserError

MODULUS = 100
TEST_SHARE = 0.25
LEVELS = (1, 9)
"""Fewest and most steps: the number of remaining steps has one digit."""
OPERATORS = "+++---**"
"""Operators to draw from. Products are rarer, because products modulo 100 tend to end in 0 or 5."""
NUMBERS = {"+": (1, 9), "-": (1, 9), "*": (2, 5)}
"""Lowest and highest number of each operator: larger products would take most of the pre-training."""

Operation = tuple[str, int]

_TEXT = re.compile(r"Steps ([1-9])\. Rule ([-+*]\d)([-+*]\d)([-+*]\d)\. Start x=(\d\d)\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniatureProblemsConfig:
    """Generated recurrences modulo 100; see docs/miniature.md."""

    per_level: int
    """Number of problems per level."""
    levels: tuple[int, int]
    """Fewest and most steps, inclusive."""
    seed: int
    """Decides everything random in this section."""
    holdout: Literal["train", "test"]
    """Train and test problems are disjoint by construction."""


@dataclass(frozen=True, slots=True)
class Problem:
    start: int
    rule: tuple[Operation, Operation, Operation]
    steps: int

    @property
    def text(self) -> str:
        return f"Steps {self.steps}. Rule {self.turned(0)}. Start x={self.start:02d}."

    @property
    def id(self) -> str:
        """A readable id, the same in every data set with this problem: `26+7*3-4x8`."""
        return f"{self.start:02d}{self.turned(0)}x{self.steps}"

    @property
    def gold(self) -> str:
        return f"{self.values()[-1]:02d}"

    @property
    def held_out(self) -> bool:
        """Whether the problem is on the test side."""
        digest = hashlib.sha256(self.text.encode()).digest()
        return int.from_bytes(digest[:4], "big") < TEST_SHARE * 2**32

    def operation(self, step: int) -> Operation:
        return self.rule[step % 3]

    def turned(self, step: int) -> str:
        """The rule rotated for `step` (from 0), so that the operation to apply comes first."""
        return "".join(f"{sign}{number}" for sign, number in (self.operation(step + i) for i in range(3)))

    def values(self) -> list[int]:
        """The start and the value after each step."""
        values = [self.start]
        for step in range(self.steps):
            values.append(apply(values[-1], self.operation(step)))
        return values


def apply(value: int, operation: Operation) -> int:
    sign, number = operation
    result = {"+": value + number, "-": value - number, "*": value * number}[sign]
    return result % MODULUS


def draw_operation(rng: random.Random, operators: str = OPERATORS) -> Operation:
    sign = rng.choice(operators)
    return sign, rng.randint(*NUMBERS[sign])


def draw_problem(rng: random.Random, steps: int, *, held_out: bool) -> Problem:
    """A random problem for testing (`held_out`) or training."""
    while True:
        rule = (draw_operation(rng), draw_operation(rng), draw_operation(rng))
        problem = Problem(rng.randrange(MODULUS), rule, steps)
        if problem.held_out == held_out:
            return problem


def parse(text: str) -> Problem:
    """The problem of a text that `Problem.text` made."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise UserError(f"not a problem of the miniature: {text!r}")
    steps, *rule, start = match.groups()
    first, second, third = ((part[0], int(part[1])) for part in rule)
    return Problem(int(start), (first, second, third), int(steps))


def problems(config: MiniatureProblemsConfig) -> list[dict[str, Any]]:
    """Rows of `problems.parquet`: `per_level` different problems for each number of steps.

    A smaller `per_level` gives the first problems of a larger one.
    """
    fewest, most = config.levels
    if not LEVELS[0] <= fewest <= most <= LEVELS[1]:
        raise UserError(
            f"miniature.levels=[{fewest}, {most}]: must be within {LEVELS[0]} to {LEVELS[1]}, lowest first"
        )
    return [row for level in range(fewest, most + 1) for row in _level(config, level)]


def _level(config: MiniatureProblemsConfig, level: int) -> Iterator[dict[str, Any]]:
    rng = random.Random(f"{config.holdout}:{config.seed}:{level}")
    ids: set[str] = set()
    while len(ids) < config.per_level:
        problem = draw_problem(rng, level, held_out=config.holdout == "test")
        if problem.id in ids:
            continue
        ids.add(problem.id)
        yield {
            "id": problem.id,
            "text": problem.text,
            "gold": problem.gold,
            "source": "miniature",
            "level": float(level),
            "subject": None,
            "pass_rate": None,
        }
