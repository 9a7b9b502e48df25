"""Main effects and two-factor interactions of a block, each with its error; and how variable what is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.analysis.crossed import crossed
from limo_ablate.analysis.cube import Cube, mean_weights
from limo_ablate.analysis.power import ALPHA
from limo_ablate.analysis.resample import holm

Array = npt.NDArray[np.float64]
EFFECTS: dict[str, Any] = {
    **dict.fromkeys(("kind", "factor", "level", "other", "other_level"), pl.String),
    **dict.fromkeys(("effect", "stderr", "low", "high", "p", "p_adj"), pl.Float64),
    "seeds": pl.Int64,
}


def factor_effects(block: Cube, alpha: float = ALPHA) -> pl.DataFrame:
    """A row for each level of each factor, and for each pair of levels of two factors. Exploratory.

    `main`: the mean at a level minus the mean of all; `interaction`: what a pair of levels has beyond both.
    The block's cells must be balanced (`complete`, or an orthogonal fraction). None where all problems are
    of one cluster. p_adj is Holm's within a kind.
    Columns: kind, factor, level, other?, other_level?, effect, stderr, low, high, p, p_adj, seeds.
    """
    named = list(_weightings(block))
    if not named:
        return pl.DataFrame(schema=EFFECTS)
    values = block.common(np.ones(len(block.cells)))
    if not values.shape[1] or block.units < 2:
        return pl.DataFrame(schema=EFFECTS)
    weights = np.stack([weighting for _, weighting in named])
    found = crossed(block.grouped(np.tensordot(weights, values, axes=1)))
    low, high = found.interval(1 - alpha)
    rows = pl.DataFrame([row for row, _ in named]).with_columns(
        effect=found.mean, stderr=found.stderr, low=low, high=high, p=found.p_value(), seeds=found.trainings
    )
    parts = [
        part.with_columns(p_adj=pl.Series(holm(part["p"].to_numpy())))
        for part in rows.partition_by("kind", maintain_order=True)
    ]
    return pl.concat(parts).select(pl.col(name).cast(kind) for name, kind in EFFECTS.items())


def _weightings(block: Cube) -> Iterator[tuple[dict[str, Any], Array]]:
    everything = mean_weights(block, {})
    several = [axis for axis in block.axes if len(levels(block, axis)) > 1]
    for axis in several:
        for level in levels(block, axis):
            yield _named("main", axis, level), mean_weights(block, {axis: level}) - everything
    for one, other in combinations(several, 2):
        for a in levels(block, one):
            for b in levels(block, other):
                both = mean_weights(block, {one: a, other: b})
                if both.any():
                    weighting = (
                        both - mean_weights(block, {one: a}) - mean_weights(block, {other: b}) + everything
                    )
                    yield _named("interaction", one, a, other, b), weighting


def _named(
    kind: str, factor: str, level: Any, other: str | None = None, beside: Any = None
) -> dict[str, Any]:
    text = None if other is None else str(beside)
    return {"kind": kind, "factor": factor, "level": str(level), "other": other, "other_level": text}


def levels(block: Cube, axis: str) -> list[Any]:
    """Of an axis, in the order of the cells."""
    place = block.axes.index(axis)
    return list(dict.fromkeys(cell[place] for cell in block.cells))


def complete_grid(block: Cube) -> Cube:
    """The largest full grid found by leaving out, one after the other, the level that most cells lack.

    The untuned base (size 0), which has no tier, is such a level.
    """
    run = {number for number, seed in np.argwhere(np.isfinite(block.accuracy[:, :, 0]))}
    kept = {axis: levels(block, axis) for axis in block.axes}
    while True:
        cells = [
            number
            for number, cell in enumerate(block.cells)
            if number in run
            and all(level in kept[axis] for axis, level in zip(block.axes, cell, strict=True))
        ]
        if len(cells) == np.prod([len(found) for found in kept.values()]) or not cells:
            break
        axis, level = min(
            ((axis, level) for axis in block.axes for level in kept[axis] if len(kept[axis]) > 1),
            key=lambda known: _share(block, cells, kept, *known),
        )
        kept[axis].remove(level)
    return replace(
        block,
        cells=tuple(block.cells[number] for number in cells),
        accuracy=block.accuracy[cells],
        trainings=None if block.trainings is None else block.trainings[cells],
    )


def _share(block: Cube, cells: list[int], kept: dict[str, list[Any]], axis: str, level: Any) -> float:
    """Share of the cells at a level, of those a full grid would have there, that are there."""
    place = block.axes.index(axis)
    wanted = np.prod([len(found) for other, found in kept.items() if other != axis])
    return float(sum(block.cells[number][place] == level for number in cells) / wanted)
