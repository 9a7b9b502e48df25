"""What is drawn anew: which of a block's trials are replicates, and which merely share a draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.core.errors import UserError

Array = npt.NDArray[np.float64]


def replicate_axis(axes: Sequence[str], points: Sequence[tuple[Any, ...]]) -> str | None:
    """The axis of seeds that is crossed with the others; in one-factor-at-a-time it is not."""
    found = []
    for place, axis in enumerate(axes):
        drawn: dict[tuple[Any, ...], set[Any]] = {}
        for point in points:
            drawn.setdefault(point[:place] + point[place + 1 :], set()).add(point[place])
        several = sum(len(levels) > 1 for levels in drawn.values())
        if axis.endswith("seed") and 2 * several > len(drawn):
            found.append(axis)
    if len(found) > 1:
        raise UserError(
            f"{' and '.join(found)} are both drawn anew in one block; hold one of them at a level, or let "
            "the study's `seeds` draw anew"
        )
    return found[0] if found else None


def layout_array(
    wide: pl.DataFrame,
    places: Mapping[str, tuple[tuple[Any, ...], int, int]],
    cells: Sequence[tuple[Any, ...]],
    seeds: Sequence[int],
) -> Array:
    """(cells, seeds, trainings under each, problems); NaN where there is none."""
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
    """(rows, columns) of a full part of `run` (R, S): what lacks the largest share is left out, one after the
    other, of two that lack as much the column."""
    rows, columns = (np.ones(size, dtype=bool) for size in run.shape)
    while not run[np.ix_(rows, columns)].all():
        lacking = ~run & rows[:, None] & columns
        of_rows, of_columns = lacking.sum(axis=1) / columns.sum(), lacking.sum(axis=0) / rows.sum()
        if of_rows.max() > of_columns.max():
            rows[of_rows.argmax()] = False
        else:
            columns[of_columns.argmax()] = False
    return rows & columns.any(), columns & rows.any()


def cluster_numbers(own: pl.DataFrame, problems: pl.Series) -> npt.NDArray[np.int64] | None:
    """(problems,) number of each one's cluster, from 0; None where `own` (of `items`) has no clusters."""
    if "cluster" not in own.columns:
        return None
    named = own.select("problem", "cluster").unique("problem", maintain_order=True)
    found = problems.to_frame().join(named, on="problem", maintain_order="left")["cluster"]
    return np.asarray(found.rank("dense").to_numpy() - 1, dtype=np.int64)
