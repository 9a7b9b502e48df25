"""Cell means over seeds, with standard errors and confidence intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.analysis.crossed import SHARE, by_cluster, crossed
from limo_ablate.analysis.replicates import largest_full_grid

HEALTH = ("boxed", "lenient", "no_answer", "undecided", "truncated", "tokens")


def summary(
    table: pl.DataFrame,
    items: pl.DataFrame,
    by: Sequence[str],
    over: Sequence[str] = ("seed",),
    level: float = 0.95,
) -> pl.DataFrame:
    """Mean accuracy of each cell: a row for each combination of `by` and score, in the table's order.

    `table` and `items` are the tables of these names for the same trials. `over` names the replicates:
    `seed`, or an axis and then `seed` (the pre-trained base, and the seed that is the same for all bases);
    trials that agree in `by` and `over` are averaged first. Errors and interval are those of
    `crossed.crossed`, as for contrasts, of n trainings (or levels of the axis) x m problems:

    - mean; seeds = n; problems = m
    - seed_error: standard error over trainings; null when n = 1. item_error: standard error over problems.
    - stderr: over both, with the noise common to both counted once
    - low, high: confidence interval at `level` over trainings and problems. It is wide with 3 seeds, as it
      should be; with one seed it is over problems only. Neither it nor stderr has zero width.

    Also the means of `HEALTH`. An interval is that of one cell: a difference of two cells on the same
    problems has a smaller error than their intervals suggest.
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
    errors = means_with_errors(rows, cell, over, "accuracy", level).drop("seeds")
    cells = means.join(errors, on=cell, how="left", nulls_equal=True, maintain_order="left")
    return cells.select(
        *cell, "seeds", "problems", pl.coalesce("mean", "accuracy"), "seed_error", "item_error", "stderr",
        "low", "high", *HEALTH,
    )  # fmt: skip


Array = npt.NDArray[np.float64]
CHUNK = 256
"""Number of cells whose intervals are computed together: some megabytes."""
ESTIMATES = ("mean", "seed_error", "item_error", "stderr", "low", "high")


def means_with_errors(
    rows: pl.DataFrame,
    cell: Sequence[str],
    over: Sequence[str],
    value: str,
    level: float,
    bounds: tuple[float, float] = SHARE,
) -> pl.DataFrame:
    """A row for each combination of `cell`, in their order: seeds, problems, `FOUND` (see `summary`).

    `rows` has the columns of `cell` and `over`, problem, `value`, and cluster if problems are clustered. Rows
    that agree in `cell`, `over` and problem are averaged; problems that not all trials of a cell answered are
    left out. Errors and interval are null for a single problem or cluster, seed_error also for one seed. With
    two columns in `over`, trainings are crossed: the largest full grid of the two is used, and `seeds` counts
    levels of the first.
    """
    cells = rows.select(cell).unique(maintain_order=True).with_row_index("place")
    estimates: list[dict[str, Any]] = [{} for _ in range(cells.height)]
    by_shape: dict[tuple[int, ...], list[tuple[int, int, Array]]] = defaultdict(list)
    for place, problems, values in _layouts(rows.join(cells, on=list(cell), nulls_equal=True), over, value):
        by_shape[values.shape].append((place, problems, values))
    for layouts in by_shape.values():
        for start in range(0, len(layouts), CHUNK):
            part = layouts[start : start + CHUNK]
            for (place, problems, values), numbers in zip(part, _errors(part, level, bounds), strict=True):
                estimates[place] = {"seeds": len(values), "problems": problems, **numbers}
    schema = {"seeds": pl.Int64, "problems": pl.Int64, **dict.fromkeys(ESTIMATES, pl.Float64)}
    return cells.drop("place").hstack(pl.DataFrame(estimates, schema=schema).fill_nan(None))


def _layouts(rows: pl.DataFrame, over: Sequence[str], value: str) -> Iterator[tuple[int, int, Array]]:
    """(index of the cell, its problems, trainings x problems or clusters, see `crossed`)."""
    clustered = ["cluster"] if "cluster" in rows.columns else []
    single = rows.group_by("place", *over, "problem", *clustered).agg(pl.col(value).mean())
    seeds = single.select("place", *over).unique().group_by("place").agg(pl.len().alias("seeds"))
    single = single.join(seeds, on="place").filter(pl.len().over("place", "problem") == pl.col("seeds"))
    single = single.sort("place", *over, "problem")
    start = 0
    for place, size, r in single.group_by("place", maintain_order=True).agg(
        pl.len().alias("size"), pl.col("seeds").first()
    ).rows():  # fmt: skip
        own = single[start : start + size]
        start += size
        values = own[value].to_numpy().reshape(r, size // r)
        if len(over) > 1:
            values = _grid(own[:: size // r].select(over), values)
        if clustered:
            codes = own["cluster"][: size // r].rank("dense").to_numpy() - 1
            yield place, size // r, by_cluster(values[None], codes)[0]
        else:
            yield place, size // r, values


def _grid(levels: pl.DataFrame, values: Array) -> Array:
    """(bases, seeds, problems) from trainings x problems; the columns of `levels` are base and seed."""
    base, seed = (column.rank("dense").to_numpy() - 1 for column in levels)
    grid = np.full((base.max() + 1, seed.max() + 1, values.shape[1]), np.nan)
    grid[base, seed] = values
    rows, columns = largest_full_grid(np.isfinite(grid[..., 0]))
    return grid[rows][:, columns]


def _errors(
    part: Sequence[tuple[int, int, Array]], level: float, bounds: tuple[float, float]
) -> list[dict[str, float]]:
    values = np.stack([array for _, _, array in part])
    if values.shape[-1] < 2:
        return [{"mean": float(array.mean())} for array in values]
    problems = np.array([count for _, count, _ in part])
    estimate = crossed(values, bounds=bounds, problems=problems)
    low, high = estimate.interval(level)
    numbers = (estimate.mean, estimate.seed_error, estimate.item_error, estimate.stderr, low, high)
    return [dict(zip(ESTIMATES, map(float, row), strict=True)) for row in zip(*numbers, strict=True)]
