"""Worked solutions at each quality tier, and the controls.

| tier | a step | |
|---|---|---|
| L5 | `8+7*3-4: 26+7=33, 33-7=26` | steps left, the rotated rule, the working, a check |
| L4 | `8+7*3-4: 26+7=33` | the same without the check |
| L3 | `8: 26+7=33` | the working without the rule |
| L2 | `8: 33` | the values only |
| L1 | | the answer only |
| skipped | as L4 | every second step is left out |
| shuffled | as L4 | the steps in random order |
| padded | `hmm well 8: 33` | L2 with filler words, as long as L4 |

Every solution ends in `so 02. \\boxed{02}`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from limo_ablate.data.miniature.recurrence import Problem, parse

FILLERS = ("well", "hmm", "wait", "now", "then", "again", "okay")
FILLERS_PER_STEP = 6
"""Number of tokens by which an L4 step, with rule and working, is longer than an L2 step."""

Step = Callable[[Problem, int], str]
"""(problem, step from 0) -> the step's text."""


def step_with_check(problem: Problem, step: int) -> str:
    return f"{full_step(problem, step)}, {_checking(problem, step)}"


def full_step(problem: Problem, step: int) -> str:
    return f"{problem.steps - step}{problem.turned(step)}: {_calculation(problem, step)}"


def step_working(problem: Problem, step: int) -> str:
    return f"{problem.steps - step}: {_calculation(problem, step)}"


def step_value(problem: Problem, step: int) -> str:
    return f"{problem.steps - step}: {problem.values()[step + 1]:02d}"


STEPS: dict[str, Step] = {"L5": step_with_check, "L4": full_step, "L3": step_working, "L2": step_value}
"""How each tier writes a step; L1 writes none."""


def _calculation(problem: Problem, step: int) -> str:
    before, after = problem.values()[step : step + 2]
    sign, number = problem.operation(step)
    return f"{before:02d}{sign}{number}={after:02d}"


def _checking(problem: Problem, step: int) -> str:
    """The inverse of the step; a product, which has no inverse modulo 100, is computed again."""
    before, after = problem.values()[step : step + 2]
    sign, number = problem.operation(step)
    if sign == "*":
        return f"{before:02d}*{number}={after:02d}"
    return f"{after:02d}{'-' if sign == '+' else '+'}{number}={before:02d}"


def answer(problem: Problem) -> str:
    return f"so {problem.gold}. \\boxed{{{problem.gold}}}"


def solve(problem: Problem, tier: str) -> str:
    """The solution of `problem` at a tier or as a control; always the same text."""
    rng = random.Random(f"{tier}:{problem.id}")
    steps: Sequence[int] = range(problem.steps)
    write = STEPS.get(tier, full_step)
    if tier == "L1":
        steps = []
    elif tier == "skipped":
        steps = [step for step in steps if (problem.steps - 1 - step) % 2 == 0]
    elif tier == "shuffled":
        steps = rng.sample(steps, problem.steps)
    elif tier == "padded":
        return ". ".join([*(_padded_step(problem, step, rng) for step in steps), answer(problem)])
    return ". ".join([*(write(problem, step) for step in steps), answer(problem)])


def _padded_step(problem: Problem, step: int, rng: random.Random) -> str:
    return " ".join([*rng.choices(FILLERS, k=FILLERS_PER_STEP), step_value(problem, step)])


TIERS = ("L1", "L2", "L3", "L4", "L5", "skipped", "shuffled", "padded")


def solutions(problems: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `solutions.parquet`: every tier and control for each row of `problems`."""
    return [
        {
            "id": f"{row['id']}-{tier}",
            "problem": row["id"],
            "text": solve(parse(row["text"]), tier),
            "tier": tier,
            "teacher": None,
        }
        for row in problems
        for tier in TIERS
    ]
