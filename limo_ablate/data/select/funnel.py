"""Counts the rows left after each filter and records why each other row was excluded."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from limo_ablate.core.errors import UserError

LIFTED_BY = {
    "correctness": "select.correctness=any",
    "degenerate": "select.degenerate=keep",
    "duplicates": "select.duplicates=keep",
    "contamination": "select/contamination=report",
    "teacher": "select.teacher=any",
    "difficulty": "select.difficulty=any",
    "same_problems": "select.same_problems=false",
    "quality": "select.quality=any",
    "shares": "select.shares=null",
}
"""Step, up to its `=` -> override that turns it off."""
EXCLUDED = {"problem": pl.String, "solution": pl.String, "step": pl.String, "reason": pl.String}


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    problems: int
    rows: int


class Funnel:
    """Applies filters: `rows` holds the rows that are left."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self.rows = rows
        self.steps: list[Step] = []
        self._out: list[pl.DataFrame] = []
        self._count("pool")

    def keep(self, step: str, kept: pl.Expr, reason: pl.Expr) -> None:
        """Keeps the rows for which `kept` is true (not null); `reason` explains why others are excluded."""
        marked = self.rows.with_columns(_kept=kept.fill_null(value=False))
        self.rows = marked.filter("_kept").drop("_kept")
        out = marked.filter(~pl.col("_kept")).with_columns(step=pl.lit(step), reason=reason)
        self._out.append(out.select(list(EXCLUDED)).cast(EXCLUDED))  # type: ignore[arg-type]
        self._count(step)
        if self.rows.is_empty():
            reasons = self._out[-1]["reason"].value_counts(sort=True)
            raise UserError(
                f"nothing is left to train on: {self.text()} (most often: {reasons['reason'][0]})"
                f"{self.advice()}"
            )

    def replace(self, step: str, rows: pl.DataFrame, reason: str) -> None:
        """Keeps `rows`, a reordered subset of the rows left; counts as a step if it excludes any."""
        excludes_none = rows.height == self.rows.height
        out = self.rows.join(rows, on=["problem", "solution"], how="anti", nulls_equal=True)
        self._out.append(out.select("problem", "solution", step=pl.lit(step), reason=pl.lit(reason)))
        self.rows = rows
        if not excludes_none:
            self._count(step)

    def excluded(self) -> pl.DataFrame:
        """problem, solution, step and reason of every excluded row."""
        return pl.concat([pl.DataFrame(schema=EXCLUDED), *self._out])

    def text(self) -> str:
        """The counts on one line."""
        return " -> ".join(f"{s.name}: {s.rows}" for s in self.steps)

    def advice(self) -> str:
        """What would keep more rows: the keys of the steps that excluded some."""
        steps = [
            step.name.partition("=")[0] for before, step in pairwise(self.steps) if step.rows < before.rows
        ]
        keys = [LIFTED_BY[step] for step in steps if step in LIFTED_BY]
        note = "; a key that you did not set has its default"
        return f". To keep more: {' '.join(keys)}{note}" if keys else ""

    def _count(self, step: str) -> None:
        self.steps.append(Step(step, self.rows["problem"].n_unique(), self.rows.height))
