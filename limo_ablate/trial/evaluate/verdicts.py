"""Grades every completion of a benchmark."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.data.grade.grader import Answered
from limo_ablate.data.grade.graders import BY_VERIFIER, Grading, graded, key_inputs
from limo_ablate.data.pool.choices import read_options
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
    inputs |= key_inputs(grading)
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
    grades = graded(grading.grader, answered)
    columns = {name: [getattr(grade, name) for grade in grades] for name in GRADED}
    kept = rows.select(
        "benchmark", "problem", "sample", "level", "source", "subject", "gold", "tokens", "finish", "loops"
    )
    kept.hstack(pl.DataFrame(columns, schema_overrides=TYPES)).write_parquet(folder / "verdicts.parquet")
