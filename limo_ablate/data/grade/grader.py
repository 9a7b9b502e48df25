"""Graders: functions from completions and gold answers to grades (`eval.benchmarks.NAME.grader`).

A benchmark's completions, the solutions of a pool (`select.correctness`) and those of reference models are
graded by the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from limo_ablate.core.artifacts import DEFAULT_NOT_IN_KEY
from limo_ablate.core.errors import UserError
from limo_ablate.verify.turns import Thinking, final_part

SandboxKind: TypeAlias = Literal["bubblewrap", "landlock"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraderOptions:
    """What graders other than the verifier may be told; each heeds those that name it."""

    answer: Literal["stated", "last_line", "whole"] = "stated"
    """What of a completion, behind its thinking, is the answer: what it states (in a box, behind an answer
    phrase, as a last sentence or as all of it), its last line, or all of it. `json` and `code` look for
    theirs themselves."""
    relative: float = 0.0
    """`number`: the largest relative difference from the gold answer."""
    absolute: float = 0.0
    """`number`: the largest absolute difference from it; either one suffices."""
    separator: str = "|"
    """`any_of`, `f1`: between the gold answers."""
    fields: tuple[str, ...] = ()
    """`json`: fields (`total`, `buyer.name`) of which the score is the share that is right; empty: all of the
    data must be equal."""
    json_schema: dict[str, Any] | None = None
    """`json`: a JSON schema that the answer must fit."""
    seconds: float = 10.0
    """`code`: of processor time of a process; all of it may take twice as long."""
    memory: int = 1024
    """`code`: MiB of all processes together."""
    sandbox: SandboxKind = field(default="bubblewrap", metadata=DEFAULT_NOT_IN_KEY)
    """`code`: landlock needs no namespaces; it holds one process without sockets."""
    rubric: str | None = None
    """`judge`: the prompt, instead of `eval.judge.prompt`."""

    def __post_init__(self) -> None:
        for name in ("relative", "absolute"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(f"grader_options.{name}={getattr(self, name)} must be 0 or more")
        if not self.separator:
            raise UserError("grader_options.separator is empty; it stands between gold answers, as in a|b")
        if not 0 < self.seconds <= 3600 or not 64 <= self.memory <= 1 << 20:
            raise UserError(
                f"grader_options: seconds={self.seconds:g} must be more than 0 and at most 3600, "
                f"memory={self.memory} (MiB) at least 64"
            )


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

    @property
    def answer(self) -> str:
        """The answer's text, by `grading.answer`; empty where there is none."""
        found = read_answer(self)
        return "" if isinstance(found, Grade) else found


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

It is called with all completions of a benchmark, or with a part of a pool's solutions. Grades must depend on
nothing else: the key of the verdicts has only the completions, the benchmark, the grader, its options and
`eval.thinking`.
"""


def read_answer(one: Answered) -> str | Grade:
    """The answer's text, or the grade of a completion without one."""
    if one.grading.answer == "stated":
        from limo_ablate.verify.extract import extract  # heavy, and this module is imported by configurations

        found = extract(one.completion, prompt=one.prompt, finished=one.finished, thinking=one.thinking)
        return Grade(status="incorrect", rule=found) if isinstance(found, str) else found.text
    text = final_text(one)
    if isinstance(text, str) and one.grading.answer == "last_line":
        text = text.rpartition("\n")[2].strip()
    return text or Grade(status="incorrect", rule="no_answer")


def final_text(one: Answered) -> str | Grade:
    """All of a completion behind its thinking, or the grade of one that broke off."""
    text, breaks_off = final_part(one.completion, one.prompt, one.thinking)
    if breaks_off or not one.finished:
        return Grade(status="incorrect", rule="unfinished")
    return text.strip()


def right(rule: str, answer: str, score: float | None = None) -> Grade:
    return Grade(status="correct", rule=rule, answer=answer, score=score, boxed=True, lenient=True)


def wrong(rule: str, answer: str, reason: str, score: float | None = None) -> Grade:
    return Grade(status="incorrect", rule=rule, answer=answer, reason=reason, score=score)


def undecided(rule: str, answer: str | None, reason: str) -> Grade:
    return Grade(status="undecided", rule=rule, answer=answer, reason=reason)
