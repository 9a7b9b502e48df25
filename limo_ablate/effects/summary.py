"""Cell means over seeds, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

HEALTH = ("boxed", "lenient", "no_answer", "undecided", "truncated", "tokens")


def summary(
    table: pl.DataFrame,
    items: pl.DataFrame,
    by: Sequence[str],
    cluster: Sequence[str] = ("seed",),
    level: float = 0.95,
) -> pl.DataFrame:
    """Mean accuracy of each cell: a row for each combination of `by` and score, in the table's order.

    `table` and `items` are `effects.table(...)` and `effects.items(...)` of the same trials. Trials that
    agree in `by` and `cluster` are averaged first, so that what varies within a cluster (fine-tuning seeds
    on one pre-trained base) does not pass for independent replication. Every one of the n clusters answers
    the same m problems, so the layout is crossed, and with y the n x m accuracies:

    - mean; seeds = n; problems = m
    - seed_error = sd(means of clusters) / sqrt(n): another training. Null when n = 1.
    - item_error = sd(means of problems) / sqrt(m): other problems of the same kind (clustered by problem,
      Miller 2024, 2411.00640).
    - stderr: both, sqrt(seed_error² + item_error² - MS_residual / nm); the last term is the noise that is in
      both (two-way random effects; Cameron, Gelbach and Miller 2011). Never less than the larger of the two.
    - low, high: `level` interval, mean ± t · stderr with Satterthwaite's degrees of freedom, within 0..1.
      With 3 seeds it is wide, as it should be.

    A cell in which all seeds score 0 (or 1) gets an error of 0: read it as "fewer than about 3 in n·m".
    Also the means of `HEALTH`. The interval is one cell's: the difference of two cells that answered the same
    problems is surer than their intervals look.
    """
    cell = [*by, "score"]
    clusters = table.group_by([*cell, *cluster], maintain_order=True).agg(pl.col("accuracy", *HEALTH).mean())
    means = clusters.group_by(cell, maintain_order=True).agg(
        pl.len().alias("seeds"),
        pl.col("accuracy").mean().alias("mean"),
        pl.col("accuracy").var().alias("between"),
        pl.col(*HEALTH).mean(),
    )
    parts = _within(table, items, cell, cluster)
    cells = means.join(parts, on=cell, how="left", nulls_equal=True, maintain_order="left")
    return _with_errors(cells, level).select(
        *cell, "seeds", "problems", "mean", "seed_error", "item_error", "stderr", "low", "high", *HEALTH
    )


def _within(
    table: pl.DataFrame, items: pl.DataFrame, cell: Sequence[str], cluster: Sequence[str]
) -> pl.DataFrame:
    """For each cell: problems, the variance of their means, the sum of squares of all n x m accuracies."""
    named = list(dict.fromkeys([*cell, *cluster, "trial"]))
    accuracies = (
        items.join(table.select(named), on=["trial", "score"])
        .group_by([*cell, *cluster, "problem"])
        .agg(pl.col("accuracy").mean())
    )
    problems = accuracies.group_by([*cell, "problem"]).agg(pl.col("accuracy").mean())
    return (
        problems.group_by(cell)
        .agg(pl.len().alias("problems"), pl.col("accuracy").var().alias("across"))
        .join(
            accuracies.group_by(cell).agg(pl.col("accuracy").var(ddof=0).mul(pl.len()).alias("total")),
            on=cell,
            nulls_equal=True,
        )
    )


def _with_errors(cells: pl.DataFrame, level: float) -> pl.DataFrame:
    from scipy.special import stdtrit

    n, m = pl.col("seeds"), pl.col("problems")
    between, across = pl.col("between").fill_null(0.0), pl.col("across").fill_null(0.0)
    degrees = ((n - 1) * (m - 1)).clip(1)
    residual = (pl.col("total") - m * (n - 1) * between - n * (m - 1) * across).clip(0.0) / degrees
    seeds, problems, shared = between / n, across / m, residual / (n * m)
    both = pl.max_horizontal(seeds + problems - shared, seeds, problems)
    terms = seeds**2 / (n - 1).clip(1) + problems**2 / (m - 1).clip(1) + shared**2 / degrees
    cells = cells.with_columns(
        seed_error=(pl.col("between") / n).sqrt(),
        item_error=(pl.col("across") / m).sqrt(),
        stderr=both.sqrt(),
        freedom=pl.when(terms > 0).then(both**2 / terms).otherwise(1.0).clip(1.0),
    )
    quantile = pl.Series(stdtrit(cells["freedom"].to_numpy(), 0.5 + level / 2))
    half = cells["stderr"] * quantile
    return cells.with_columns(
        low=(cells["mean"] - half).clip(0.0, 1.0), high=(cells["mean"] + half).clip(0.0, 1.0)
    )
