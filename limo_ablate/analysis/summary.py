"""Cell means over seeds, and how sure they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.analysis.crossed import by_cluster, crossed
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
    errors = means_with_errors(rows, cell, over, "accuracy", level).drop("seeds")
    cells = means.join(errors, on=cell, how="left", nulls_equal=True, maintain_order="left")
    return cells.select(
        *cell, "seeds", "problems", pl.coalesce("mean", "accuracy"), "seed_error", "item_error", "stderr",
        pl.col("low").clip(0.0, 1.0), pl.col("high").clip(0.0, 1.0), *HEALTH,
    )  # fmt: skip


Array = npt.NDArray[np.float64]
CHUNK = 256
"""Cells whose intervals are worked out together: some megabytes."""
ESTIMATES = ("mean", "seed_error", "item_error", "stderr", "low", "high")


def means_with_errors(
    rows: pl.DataFrame, cell: Sequence[str], over: Sequence[str], value: str, level: float
) -> pl.DataFrame:
    """A row for each combination of `cell`, in their order: seeds, problems, `FOUND` (see `summary`).

    `rows` hold the columns of `cell` and `over`, problem, `value`, and cluster where problems belong
    together. Rows that agree in `cell`, `over` and problem are averaged; problems that not all of a cell's
    trials answered are left out. Errors and interval are null for a single problem or cluster, seed_error
    also for one seed. With two columns in `over`, trainings are crossed: the largest full grid of the two
    counts, and `seeds` are levels of the first.
    """
    cells = rows.select(cell).unique(maintain_order=True).with_row_index("place")
    found: list[dict[str, Any]] = [{} for _ in range(cells.height)]
    alike: dict[tuple[int, ...], list[tuple[int, int, Array]]] = defaultdict(list)
    for place, problems, values in _layouts(rows.join(cells, on=list(cell), nulls_equal=True), over, value):
        alike[values.shape].append((place, problems, values))
    for same in alike.values():
        for start in range(0, len(same), CHUNK):
            part = same[start : start + CHUNK]
            for (place, problems, values), numbers in zip(part, _errors(part, level), strict=True):
                found[place] = {"seeds": len(values), "problems": problems, **numbers}
    schema = {"seeds": pl.Int64, "problems": pl.Int64, **dict.fromkeys(ESTIMATES, pl.Float64)}
    return cells.drop("place").hstack(pl.DataFrame(found, schema=schema).fill_nan(None))


def _layouts(rows: pl.DataFrame, over: Sequence[str], value: str) -> Iterator[tuple[int, int, Array]]:
    """(place of the cell, its problems, trainings x problems or clusters of them, see `crossed`)."""
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
    """(bases, seeds, problems) of trainings x problems, whose bases and seeds are the columns of `levels`."""
    base, seed = (column.rank("dense").to_numpy() - 1 for column in levels)
    grid = np.full((base.max() + 1, seed.max() + 1, values.shape[1]), np.nan)
    grid[base, seed] = values
    rows, columns = largest_full_grid(np.isfinite(grid[..., 0]))
    return grid[rows][:, columns]


def _errors(part: Sequence[tuple[int, int, Array]], level: float) -> list[dict[str, float]]:
    values = np.stack([array for _, _, array in part])
    if values.shape[-1] < 2:
        return [{"mean": float(array.mean())} for array in values]
    found = crossed(values)
    low, high = found.interval(level)
    numbers = (found.mean, found.seed_error, found.item_error, found.stderr, low, high)
    return [dict(zip(ESTIMATES, map(float, row), strict=True)) for row in zip(*numbers, strict=True)]
