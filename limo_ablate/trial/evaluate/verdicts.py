"""Grades every completion; the verifier does so in three ways: as stated, boxed answers only, leniently."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.core.progress import keep_alive
from limo_ablate.data.pool.choices import read_options
from limo_ablate.trial.evaluate.grader import (
    BY_VERIFIER,
    GRADERS,
    PLAIN,
    VERIFIER,
    Answered,
    Grade,
    GraderOptions,
    Grading,
)
from limo_ablate.trial.evaluate.plain_graders import VERSION as PLAIN_VERSION
from limo_ablate.trial.evaluate.votes import votes
from limo_ablate.verify import VERSION as VERSION_OF_VERIFIER
from limo_ablate.verify import Verdict, verify_many
from limo_ablate.verify.extract import Extract
from limo_ablate.verify.turns import Thinking

GRADED = ("answer", "status", "score", "rule", "reason", "boxed", "lenient", "vote")
"""Fields of `Grade` that are columns of the table."""
TYPES = {"answer": pl.String, "reason": pl.String, "score": pl.Float64, "vote": pl.Int64}


def verdicts(
    store: Store,
    completions: Artifact,
    benchmark: Artifact,
    grading: Grading = BY_VERIFIER,
    thinking: Thinking = "auto",
) -> Artifact:
    """`verdicts.parquet`: a row per completion, with its gold answer, status, rule, reason and vote."""
    inputs: dict[str, object] = {"completions": completions, "benchmark": benchmark}
    grader = grading.grader
    inputs |= {"verifier": VERSION_OF_VERIFIER} if grader == VERIFIER else {"grader": grader}
    if grader in GRADERS.builtin and GRADERS.builtin[grader].target.startswith(PLAIN):
        inputs["grader_version"] = PLAIN_VERSION
    if grading.options != GraderOptions():
        inputs["grader_options"] = grading.options
    if identity := GRADERS.identity(grader):
        inputs["installed"] = identity
    if thinking != "auto":
        inputs["thinking"] = thinking
    return store.build(
        "verdicts", inputs, lambda folder: _write(completions, benchmark, grading, thinking, folder)
    )


def _write(
    completions: Artifact, benchmark: Artifact, grading: Grading, thinking: Thinking, folder: Path
) -> None:
    problems = pl.read_parquet(benchmark.path / "problems.parquet").rename({"id": "problem"})
    rows = pl.read_parquet(completions.path / "completions.parquet").join(
        problems.select("problem", "gold", "level", "source", "subject"),
        on="problem",
        how="left",
        maintain_order="left",
    )
    choices = read_options(benchmark)
    answered = [
        Answered(
            problem=problem,
            completion=completion,
            gold=gold,
            options=choices[problem]["options"] if choices else None,
            prompt=prompt,
            finished=finish != "length",
            thinking=thinking,
            grading=grading.options,
        )
        for problem, prompt, completion, gold, finish in rows.select(
            "problem", "prompt", "completion", "gold", "finish"
        ).iter_rows()
    ]
    grader = grading.grader
    grades = GRADERS.load(grader)(answered)
    if len(grades) != len(answered):
        raise UserError(f"grader={grader} returned {len(grades)} grades for {len(answered)} completions")
    for one, grade in zip(answered, grades, strict=True):
        _check(grader, one.problem, grade)
    graded = {name: [getattr(grade, name) for grade in grades] for name in GRADED}
    kept = rows.select(
        "benchmark", "problem", "sample", "level", "source", "subject", "gold", "tokens", "finish", "loops"
    )
    kept.hstack(pl.DataFrame(graded, schema_overrides=TYPES)).write_parquet(folder / "verdicts.parquet")


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


def verified(answered: Sequence[Answered]) -> list[Grade]:
    """Grades by the rule-based verifier: as stated, in a box only, and leniently."""
    stated, boxed, lenient = (_graded(answered, mode) for mode in ("stated", "boxed", "lenient"))
    return [
        Grade(
            answer=one.answer,
            status=one.status,
            rule=one.rule,
            reason=one.reason,
            boxed=box.status == "correct",
            lenient=loose.status == "correct",
            vote=vote,
        )
        for one, box, loose, vote in zip(stated, boxed, lenient, _votes(answered, stated), strict=True)
    ]


def _graded(answered: Sequence[Answered], mode: Extract) -> list[Verdict]:
    return verify_many(
        [(one.completion, one.gold) for one in answered],
        extract=mode,
        choices=[one.options for one in answered],
        prompts=[one.prompt for one in answered],
        finished=[one.finished for one in answered],
        thinking=answered[0].thinking if answered else "auto",
        progress=_report_alive,
    )


def _report_alive(_: int) -> None:
    """Grading thousands of long completions takes minutes, which must not look like a hang."""
    keep_alive()


def _votes(answered: Sequence[Answered], verdicts: Sequence[Verdict]) -> list[int | None]:
    by_problem: dict[str, list[int]] = {}
    for row, one in enumerate(answered):
        by_problem.setdefault(one.problem, []).append(row)
    by_row: dict[int, int | None] = {}
    for rows in by_problem.values():
        options = answered[rows[0]].options
        by_row |= zip(rows, votes([verdicts[row] for row in rows], options), strict=True)
    return [by_row[row] for row in range(len(answered))]
