"""Graders: functions from completions and gold answers to grades (`eval.benchmarks.NAME.grader`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from limo_ablate.core.errors import UserError
from limo_ablate.core.registry import Entry, Registry
from limo_ablate.verify.turns import Thinking


@dataclass(frozen=True, slots=True, kw_only=True)
class GraderOptions:
    """What graders other than the verifier may be told; the verifier heeds none of it."""

    answer: Literal["stated", "last_line", "whole"] = "stated"
    """What of a completion, behind its thinking, is the answer: what it states (in a box, behind an answer
    phrase, as a last sentence or as all of it), its last line, or all of it."""
    relative: float = 0.0
    """`number`: the largest relative difference from the gold answer."""
    absolute: float = 0.0
    """`number`: the largest absolute difference from it; either one suffices."""
    separator: str = "|"
    """`any_of`: between the gold answers."""

    def __post_init__(self) -> None:
        for name in ("relative", "absolute"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(f"grader_options.{name}={getattr(self, name)} must be 0 or more")
        if not self.separator:
            raise UserError("grader_options.separator is empty; it stands between gold answers, as in a|b")


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
    grading: GraderOptions = GraderOptions()
    """`eval.benchmarks.NAME.grader_options`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """The grade of one completion: a row of `verdicts.parquet`."""

    status: Literal["correct", "incorrect", "undecided"]
    """`undecided`: could not be graded; counts as wrong, and is reported separately."""
    score: float | None = None
    """0..1, of graders that give part of the marks: 1 for what is correct, less for what is incorrect. None:
    1 if correct, else 0."""
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
verdicts has only the completions, the benchmark, the grader, its options and `eval.thinking`.
"""
PLAIN = "limo_ablate.trial.evaluate.plain_graders"
GRADERS: Registry[Grader] = Registry(
    "grader",
    {
        "verifier": Entry("limo_ablate.trial.evaluate.verdicts:verified", "the rule-based answer verifier"),
        "exact": Entry(
            f"{PLAIN}:exact", "the gold answer's text, but for case, spaces and outer punctuation"
        ),
        "any_of": Entry(f"{PLAIN}:any_of", "the text of one of several gold answers, with bars between"),
        "number": Entry(f"{PLAIN}:number", "a number within `grader_options.relative` or `absolute`"),
        "regex": Entry(f"{PLAIN}:matches", "a text that the gold answer, a regular expression, matches"),
    },
    group="limo_ablate.graders",
)
VERIFIER = "verifier"
"""Grades every completion; the verifier does so in three ways: as stated, boxed answers only, leniently."""


@dataclass(frozen=True, slots=True)
class Grading:
    """How a benchmark is graded."""

    grader: str = VERIFIER
    options: GraderOptions = GraderOptions()


BY_VERIFIER = Grading()
