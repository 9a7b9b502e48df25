"""Replicates in a block: which axis of seeds they vary by, and the grid of trials that they form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.core.errors import UserError

Array = npt.NDArray[np.float64]


def replicate_axis(axes: Sequence[str], points: Sequence[tuple[Any, ...]]) -> str | None:
    """The axis of seeds whose levels are replicates: crossed with the other axes (not so in `ofat`)."""
    crossed_axes = []
    for place, axis in enumerate(axes):
        points_at: dict[tuple[Any, ...], set[Any]] = {}
        for point in points:
            points_at.setdefault(point[:place] + point[place + 1 :], set()).add(point[place])
        several = sum(len(levels) > 1 for levels in points_at.values())
        if axis.endswith("seed") and 2 * several > len(points_at):
            crossed_axes.append(axis)
    if len(crossed_axes) > 1:
        raise UserError(
            f"{' and '.join(crossed_axes)}: a block can have one axis of replicates; fix one of them, or "
            "vary it by the study's `seeds`"
        )
    return crossed_axes[0] if crossed_axes else None


def layout_array(
    wide: pl.DataFrame,
    places: Mapping[str, tuple[tuple[Any, ...], int, int]],
    cells: Sequence[tuple[Any, ...]],
    seeds: Sequence[int],
) -> Array:
    """Accuracies (cells, seeds, trainings of each, problems); NaN where there is no trial."""
    inner = sorted({training for _, _, training in places.values()})
    at = [{level: number for number, level in enumerate(levels)} for levels in (cells, seeds, inner)]
    total = np.zeros((len(cells), len(seeds), len(inner), wide.height))
    count = np.zeros((*total.shape[:3], 1))
    for name, place in places.items():
        if name in wide.columns:
            where = tuple(numbers[level] for numbers, level in zip(at, place, strict=True))
            total[where] += wide[name].to_numpy()
            count[where] += 1
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count)


def largest_full_grid(run: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """(rows, columns) of a complete part of `run` (R, S): drops the row or column with the largest share of
    missing trials, one after another; of equal ones the column."""
    rows, columns = (np.ones(size, dtype=bool) for size in run.shape)
    while not run[np.ix_(rows, columns)].all():
        missing = ~run & rows[:, None] & columns
        row_shares, column_shares = missing.sum(axis=1) / columns.sum(), missing.sum(axis=0) / rows.sum()
        if row_shares.max() > column_shares.max():
            rows[row_shares.argmax()] = False
        else:
            columns[column_shares.argmax()] = False
    return rows & columns.any(), columns & rows.any()


def cluster_numbers(own: pl.DataFrame, problems: pl.Series) -> npt.NDArray[np.int64] | None:
    """(problems,) number of each problem's cluster, from 0; None if `own` (of `items`) has no clusters."""
    if "cluster" not in own.columns:
        return None
    cluster_of = own.select("problem", "cluster").unique("problem", maintain_order=True)
    clusters = problems.to_frame().join(cluster_of, on="problem", maintain_order="left")["cluster"]
    return np.asarray(clusters.rank("dense").to_numpy() - 1, dtype=np.int64)
