"""Cell means over seeds, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from limo_ablate.analysis.inferred import inferred

HEALTH = ("boxed", "lenient", "no_answer", "undecided", "truncated", "tokens")


def summary(
    table: pl.DataFrame,
    items: pl.DataFrame,
    by: Sequence[str],
    over: Sequence[str] = ("seed",),
    level: float = 0.95,
) -> pl.DataFrame:
    """Mean accuracy of each cell: a row for each combination of `by` and score, in the table's order.

    `table` and `items` are `effects.table(...)` and `effects.items(...)` of the same trials. `over` is what
    is drawn anew: `seed`, or an axis and then `seed` (the pre-trained base, and what a seed draws for all
    bases alike); trials that agree in `by` and `over` are averaged first. Errors and interval are those of
    `effects.crossed`, the inference of contrasts too, of these n trainings (or levels of the axis) x m
    problems:

    - mean; seeds = n; problems = m
    - seed_error: over other trainings; null when n = 1. item_error: over other problems of the same kind.
    - stderr: both together, the noise that is in both counted once
    - low, high: `level` interval, within 0..1, for other trainings and other problems. With 3 seeds it is
      wide, as it should be; with one it is about other problems only.

    A cell in which all seeds score 0 (or 1) gets an error of 0: read it as "fewer than about 3 in n·m".
    Also the means of `HEALTH`. The interval is one cell's: the difference of two cells that answered the same
    problems is surer than their intervals look.
    """
    cell = [*by, "score"]
    groups = table.group_by([*cell, *over], maintain_order=True).agg(pl.col("accuracy", *HEALTH).mean())
    means = groups.group_by(cell, maintain_order=True).agg(
        pl.col(over[0]).n_unique().cast(pl.Int64).alias("seeds"),
        pl.col("accuracy").mean(),
        pl.col(*HEALTH).mean(),
    )
    levels = table.select(list(dict.fromkeys([*cell, *over, "trial"])))
    rows = levels.join(items, on=["trial", "score"], maintain_order="left_right")
    errors = inferred(rows, cell, over, "accuracy", level).drop("seeds")
    cells = means.join(errors, on=cell, how="left", nulls_equal=True, maintain_order="left")
    return cells.select(
        *cell, "seeds", "problems", pl.coalesce("mean", "accuracy"), "seed_error", "item_error", "stderr",
        pl.col("low").clip(0.0, 1.0), pl.col("high").clip(0.0, 1.0), *HEALTH,
    )  # fmt: skip
