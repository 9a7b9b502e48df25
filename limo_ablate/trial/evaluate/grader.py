"""Graders: functions from completions and gold answers to grades (`eval.benchmarks.NAME.grader`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from limo_ablate.core.registry import Entry, Registry
from limo_ablate.verify.turns import Thinking


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One completion of a problem."""

    problem: str
    """Id of the problem; each of its samples is an `Answered` of its own."""
    completion: str
    gold: str
    options: Mapping[str, str] | None = None
    """Options of a multiple-choice problem, by letter."""
    prompt: str | None = None
    """The prompt, with the chat template."""
    finished: bool = True
    """Whether the completion ended by itself; false if it was cut off at `max_tokens`."""
    thinking: Thinking = "auto"
    """`eval.thinking`: the tags that mark thinking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """The grade of one completion: a row of `verdicts.parquet`."""

    status: Literal["correct", "incorrect", "undecided"]
    """`undecided`: could not be graded; counts as wrong, and is reported separately."""
    rule: str
    """Short name of the check that decided."""
    answer: str | None = None
    """Text of the answer; null if there is none."""
    reason: str | None = None
    """Why the answer is not correct, or could not be graded."""
    boxed: bool = False
    """Whether the answer is correct if only boxed answers count."""
    lenient: bool = False
    """Whether the answer is correct if the last formula or number counts too."""
    vote: int | None = None
    """Class of equal answers among the problem's samples, for majority votes; 0 is the right one."""


Grader: TypeAlias = Callable[[Sequence[Answered]], Sequence[Grade]]
"""An entry of `limo_ablate.graders`: returns a grade for each completion, in the same order.

It is called with all completions of a benchmark. Grades must depend on nothing else: the key of the
verdicts has only the completions, the benchmark, the grader and `eval.thinking`.
"""
GRADERS: Registry[Grader] = Registry(
    "grader",
    {"verifier": Entry("limo_ablate.trial.evaluate.verdicts:verified", "the rule-based answer verifier")},
    group="limo_ablate.graders",
)
VERIFIER = "verifier"
