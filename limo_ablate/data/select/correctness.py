"""Grades the pool's solutions against their problems' gold answers, by `data.grader`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.data.grade.grader import Answered, Grade
from limo_ablate.data.grade.graders import BY_VERIFIER, VERIFIER, Grading, graded, key_inputs
from limo_ablate.data.pool.load import require_gold
from limo_ablate.verify import Verdict, verify_many

VERDICT_COLUMNS = ("status", "rule", "answer")
ANSWER_CHARACTERS = 100
"""Number of characters of an answer that are kept."""
BATCH = 20_000
"""Solutions in memory at a time; with more than one batch, grading uses all cores."""


def grades(store: Store, pool: Artifact, grading: Grading = BY_VERIFIER) -> Artifact:
    """`grades.parquet`: solution, status (`correct`, `incorrect`, `undecided`), rule, answer? (as read)."""
    return store.build(
        "grades", {"pool": pool} | key_inputs(grading), lambda folder: _write(pool, grading, folder)
    )


def _write(pool: Artifact, grading: Grading, folder: Path) -> None:
    golds = pl.read_parquet(pool.path / "problems.parquet", columns=["id", "gold"])
    purpose = "solutions can't be graded (select.correctness, data/difficulty=solutions)"
    require_gold(pool, purpose, grading.grader)
    parts = [_graded(batch, golds, workers, grading) for batch, workers in _batches(pool)]
    schema = dict.fromkeys(("solution", *VERDICT_COLUMNS), pl.String)
    pl.concat([pl.DataFrame(schema=schema), *parts]).write_parquet(folder / "grades.parquet")


def _batches(pool: Artifact) -> Iterator[tuple[pl.DataFrame, int]]:
    from pyarrow.parquet import ParquetFile

    file = ParquetFile(pool.path / "solutions.parquet")
    workers = len(os.sched_getaffinity(0)) if file.metadata.num_rows > BATCH else 1
    for batch in file.iter_batches(BATCH, columns=["id", "problem", "text"]):
        frame = pl.from_arrow(batch)
        assert isinstance(frame, pl.DataFrame)
        yield frame, workers


def _graded(batch: pl.DataFrame, golds: pl.DataFrame, workers: int, grading: Grading) -> pl.DataFrame:
    rows = batch.join(golds, left_on="problem", right_on="id", how="left", maintain_order="left")
    pairs = list(zip(rows["problem"], rows["text"], rows["gold"], strict=True))
    verdicts: Sequence[Verdict | Grade]
    if grading.grader == VERIFIER:  # one reading of each, in all of this machine's processes
        verdicts = verify_many([(text, gold) for _, text, gold in pairs], workers=workers)
    else:
        options = grading.options
        verdicts = graded(
            grading.grader,
            [Answered(problem=p, completion=text, gold=gold, grading=options) for p, text, gold in pairs],
        )
    columns = [
        pl.Series(name, [getattr(verdict, name) for verdict in verdicts], dtype=pl.String)
        for name in VERDICT_COLUMNS
    ]
    answer = pl.col("answer").str.head(ANSWER_CHARACTERS)
    return rows.select(solution="id").with_columns(columns).with_columns(answer)
