"""The registry of graders, and grading by one of them."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field

from limo_ablate.core.errors import UserError
from limo_ablate.core.registry import Entry
from limo_ablate.data.grade.grader import Answered, Grade, GraderOptions
from limo_ablate.data.grade.own_file import GraderRegistry
from limo_ablate.verify import VERSION as VERSION_OF_VERIFIER

VERSION = 6
"""Raised when graders other than the verifier would give other grades."""
PLAIN = "limo_ablate.data.grade.plain_graders"
GRADERS = GraderRegistry(
    "grader",
    {
        "verifier": Entry("limo_ablate.data.grade.verified:verified", "the rule-based answer verifier"),
        "exact": Entry(
            f"{PLAIN}:exact", "the gold answer's text, but for case, spaces and outer punctuation"
        ),
        "any_of": Entry(f"{PLAIN}:any_of", "the text of one of several gold answers, with bars between"),
        "number": Entry(f"{PLAIN}:number", "a number within `grader_options.relative` or `absolute`"),
        "regex": Entry(f"{PLAIN}:matches", "a text that the gold answer, a regular expression, matches"),
        "f1": Entry(f"{PLAIN}:f1", "a score: the F1 of words shared with the best gold answer, as for SQuAD"),
        "json": Entry("limo_ablate.data.grade.json_grader:json_data", "JSON data equal to the gold answer's"),
        "code": Entry("limo_ablate.data.grade.code_grader:code", "code that passes the gold answer's tests"),
        "judge": Entry(f"{PLAIN}:for_judge", "a model's verdict by a rubric (`eval.judge`)"),
    },
    group="limo_ablate.graders",
)
VERIFIER, CODE, JUDGE = "verifier", "code", "judge"


@dataclass(frozen=True, slots=True)
class Grading:
    """How a benchmark or a pool is graded."""

    grader: str = VERIFIER
    options: GraderOptions = field(default_factory=GraderOptions)


BY_VERIFIER = Grading()


def check_grader(grading: Grading, where: str) -> None:
    """Raises UserError where the grader could not do its work: before anything is trained. Runs no code of
    another package or of the project."""
    GRADERS.check_installed(grading.grader)
    if grading.grader == CODE:
        from limo_ablate.data.grade.sandbox import check_sandbox

        check_sandbox(where, grading.options.sandbox)


def key_inputs(grading: Grading) -> dict[str, object]:
    """What grades depend on beside the texts and the gold answers."""
    name = grading.grader
    inputs: dict[str, object] = {"verifier": VERSION_OF_VERIFIER} if name == VERIFIER else {"grader": name}
    if name in GRADERS.builtin and name != VERIFIER:
        inputs["grader_version"] = VERSION
    if grading.options != GraderOptions():
        inputs["grader_options"] = grading.options
    if name == CODE:
        inputs["python"] = platform.python_version()
    if identity := GRADERS.identity(name):
        inputs["installed"] = identity
    return inputs


def graded(name: str, answered: Sequence[Answered]) -> list[Grade]:
    """A grade for each completion. Raises UserError where the grader does not return that."""
    grades = list(GRADERS.load(name)(answered))
    if len(grades) != len(answered):
        raise UserError(f"grader={name} returned {len(grades)} grades for {len(answered)} completions")
    for one, grade in zip(answered, grades, strict=True):
        _check(name, one.problem, grade)
    return grades


def _check(grader: str, problem: str, grade: Grade) -> None:
    """Raises UserError for a score that is none, or that the status contradicts."""
    score = grade.score
    if score is None:
        return
    where = f"grader={grader}, problem {problem}: score={score!r}"
    if not isinstance(score, int | float) or not 0 <= score <= 1:
        raise UserError(f"{where} is not a number from 0 to 1; the grader has to be mended")
    if grade.status == "undecided" or (grade.status == "correct") != (score == 1):
        raise UserError(
            f"{where} with status={grade.status}; a score of 1 is correct, a lower one incorrect, "
            "and undecided has none (None)"
        )
