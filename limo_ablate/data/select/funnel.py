"""What is left after each filter, and why each other row went."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from limo_ablate.core.errors import UserError

OUT = {"problem": pl.String, "solution": pl.String, "step": pl.String, "reason": pl.String}


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    problems: int
    rows: int


class Funnel:
    """`rows` are those left; every filter is a `keep`."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self.rows = rows
        self.steps: list[Step] = []
        self._out: list[pl.DataFrame] = []
        self._count("pool")

    def keep(self, step: str, kept: pl.Expr, reason: pl.Expr) -> None:
        """Only rows for which `kept` is true (not null); `reason` says for each other one why it went."""
        marked = self.rows.with_columns(_kept=kept.fill_null(value=False))
        self.rows = marked.filter("_kept").drop("_kept")
        out = marked.filter(~pl.col("_kept")).with_columns(step=pl.lit(step), reason=reason)
        self._out.append(out.select(list(OUT)).cast(OUT))  # type: ignore[arg-type]
        self._count(step)
        if self.rows.is_empty():
            reasons = self._out[-1]["reason"].value_counts(sort=True)
            raise UserError(
                f"nothing is left to train on: {self.text()} (most often: {reasons['reason'][0]})"
            )

    def replace(self, step: str, rows: pl.DataFrame, reason: str) -> None:
        """Only `rows`, some of those left in an order of their own; no step where they are all of them."""
        everything = rows.height == self.rows.height
        gone = self.rows.join(rows, on=["problem", "solution"], how="anti", nulls_equal=True)
        self._out.append(gone.select("problem", "solution", step=pl.lit(step), reason=pl.lit(reason)))
        self.rows = rows
        if not everything:
            self._count(step)

    def excluded(self) -> pl.DataFrame:
        """problem, solution, step, reason of every row that went."""
        return pl.concat([pl.DataFrame(schema=OUT), *self._out])

    def text(self) -> str:
        """The counts on one line."""
        return " -> ".join(f"{s.name}: {s.rows}" for s in self.steps)

    def _count(self, step: str) -> None:
        self.steps.append(Step(step, self.rows["problem"].n_unique(), self.rows.height))
