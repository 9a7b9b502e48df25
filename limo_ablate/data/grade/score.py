"""Scores of a file of completions by a grader of the registry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import yaml

from limo_ablate.core.errors import UserError
from limo_ablate.core.typed import convert, from_dict
from limo_ablate.data.grade.grader import Answered, GraderOptions
from limo_ablate.data.grade.graders import GRADERS, JUDGE, Grading, check_grader, graded
from limo_ablate.verify.score import Graded, Score, completion_rows, score
from limo_ablate.verify.turns import Thinking
from limo_ablate.verify.verdict import Verdict


def score_by(path: Path, grader: str, options: Sequence[str], thinking: Thinking = "auto") -> Score:
    """`options`: `key=value` of `grader_options`. Raises UserError as `score_file` does, and for a grader
    that is none or can't work here."""
    convert(Annotated[str, GRADERS], grader, "--grader", {})
    if grader == JUDGE:
        raise UserError(f"--grader {grader} asks a model, which only trials have (docs/evaluation.md)")
    grading = Grading(grader, _options(options))
    check_grader(grading, f"--grader {grader}")
    rows = list(completion_rows(path))
    answered = [
        Answered(
            problem=str(row.line),
            completion=row.completion,
            gold=row.gold,
            prompt=row.problem,
            finished=row.finished,
            thinking=thinking,
            grading=grading.options,
        )
        for row in rows
    ]
    return score(
        [
            Graded(
                row.line, row.sample, row.gold, row.completion,
                Verdict(grade.status, grade.rule, grade.reason, grade.answer, 0.0),
                row.reference, row.source, grade.score,
            )
            for row, grade in zip(rows, graded(grader, answered), strict=True)
        ]
    )  # fmt: skip


def _options(given: Sequence[str]) -> GraderOptions:
    pairs = [text.partition("=") for text in given]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise UserError(f"--option {wrong[0]}: not KEY=VALUE")
    try:
        values = {key: yaml.safe_load(value) for key, _, value in pairs}
    except yaml.YAMLError as error:
        raise UserError(f"--option {' '.join(given)}: {' '.join(str(error).split())}") from error
    found: GraderOptions = from_dict(GraderOptions, values, "--option")
    return found
