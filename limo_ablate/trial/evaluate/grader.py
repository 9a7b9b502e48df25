"""Graders: what turns completions and gold answers into grades (`eval.benchmarks.NAME.grader`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from limo_ablate.core.registry import Entry, Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One completion of a problem."""

    problem: str
    """Problem's id; several samples of it are several of these."""
    completion: str
    gold: str
    options: Mapping[str, str] | None = None
    """Letter -> option, of a multiple-choice problem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """The grade of one completion: a row of `verdicts.parquet`."""

    status: Literal["correct", "incorrect", "undecided"]
    """`undecided`: it could not be graded; it counts as wrong and is told apart."""
    rule: str
    """The check that decided, in a word."""
    answer: str | None = None
    """The text that was taken as the answer; null where there was none."""
    reason: str | None = None
    """Why it is not correct, or could not be decided."""
    boxed: bool = False
    """Whether it is correct when only a boxed answer counts."""
    lenient: bool = False
    """Whether it is correct when any last number counts."""
    vote: int | None = None
    """Class of equal answers among the samples of the problem, 0 the right one, for majority votes."""


Grader: TypeAlias = Callable[[Sequence[Answered]], Sequence[Grade]]
"""What an entry of `limo_ablate.graders` is: a grade for each completion, in their order.

It gets all completions of a benchmark at once. A grade may depend on them and on its own source alone:
verdicts are kept by a key of the completions, the benchmark and the grader.
"""
GRADERS: Registry[Grader] = Registry(
    "grader",
    {"verifier": Entry("limo_ablate.trial.evaluate.verdicts:verified", "the rule-based answer verifier")},
    group="limo_ablate.graders",
)
VERIFIER = "verifier"
