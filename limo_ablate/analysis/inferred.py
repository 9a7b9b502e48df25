"""Means of cells with their errors: rows of one number a trial and problem, put through `crossed`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.analysis.crossed import by_cluster, crossed
from limo_ablate.analysis.replicates import rectangle

Array = npt.NDArray[np.float64]
CHUNK = 256
"""Cells whose intervals are worked out together: some megabytes."""
FOUND = ("mean", "seed_error", "item_error", "stderr", "low", "high")


def inferred(
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
    schema = {"seeds": pl.Int64, "problems": pl.Int64, **dict.fromkeys(FOUND, pl.Float64)}
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
    rows, columns = rectangle(np.isfinite(grid[..., 0]))
    return grid[rows][:, columns]


def _errors(part: Sequence[tuple[int, int, Array]], level: float) -> list[dict[str, float]]:
    values = np.stack([array for _, _, array in part])
    if values.shape[-1] < 2:
        return [{"mean": float(array.mean())} for array in values]
    found = crossed(values)
    low, high = found.interval(level)
    numbers = (found.mean, found.seed_error, found.item_error, found.stderr, low, high)
    return [dict(zip(FOUND, map(float, row), strict=True)) for row in zip(*numbers, strict=True)]
