"""Main effects and two-factor interactions of a block, with standard errors and adjusted p-values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.analysis.adjust import with_adjusted_p
from limo_ablate.analysis.crossed import DIFFERENCE, crossed
from limo_ablate.analysis.cube import Cube, mean_weights
from limo_ablate.analysis.power import ALPHA

Array = npt.NDArray[np.float64]
EFFECTS: dict[str, Any] = {
    **dict.fromkeys(("kind", "factor", "level", "other", "other_level"), pl.String),
    **dict.fromkeys(("effect", "stderr", "low", "high", "p", "p_adj"), pl.Float64),
    "seeds": pl.Int64,
}


def factor_effects(block: Cube, alpha: float = ALPHA) -> pl.DataFrame:
    """A row for each level of each factor, and for each pair of levels of two factors. Exploratory.

    `main`: the mean at a level minus the grand mean; `interaction`: the mean at a pair of levels minus what
    the two main effects predict. The block's cells must be balanced (`complete_grid`, or an orthogonal
    fraction). No rows if all problems are in one cluster. p_adj is adjusted by Holm within a kind.
    Columns: kind, factor, level, other?, other_level?, effect, stderr, low, high, p, p_adj, seeds.
    """
    return _effects(block, list(_weightings(block)), alpha)


def effects_from_base(block: Cube, base: Mapping[str, Any], alpha: float = ALPHA) -> pl.DataFrame:
    """The same columns for an `ofat` block: each level minus the base level, all other factors at the base.

    No rows while the base has not been run.
    """
    numbers = {cell: number for number, cell in enumerate(block.cells)}
    centre = numbers.get(tuple(base[axis] for axis in block.axes))
    if centre is None:
        return pl.DataFrame(schema=EFFECTS)
    weightings = []
    for place, axis in enumerate(block.axes):
        for level in levels(block, axis):
            cell = tuple(level if at == place else base[key] for at, key in enumerate(block.axes))
            if level != base[axis] and cell in numbers:
                weights = np.zeros(len(block.cells))
                weights[[numbers[cell], centre]] = 1, -1
                weightings.append((_named("main", axis, level), weights))
    return _effects(block, weightings, alpha)


def _effects(block: Cube, weightings: Sequence[tuple[dict[str, Any], Array]], alpha: float) -> pl.DataFrame:
    if not weightings:
        return pl.DataFrame(schema=EFFECTS)
    values = block.common(np.ones(len(block.cells)))
    if not values.shape[1] or block.units < 2:
        return pl.DataFrame(schema=EFFECTS)
    weights = np.stack([weighting for _, weighting in weightings])
    sums = block.grouped(np.tensordot(weights, values, axes=1))
    estimates = crossed(sums, bounds=DIFFERENCE, problems=len(block.problems))
    low, high = estimates.interval(1 - alpha)
    rows = pl.DataFrame([row for row, _ in weightings]).with_columns(
        effect=estimates.mean,
        stderr=estimates.stderr,
        low=low,
        high=high,
        p=estimates.p_value(),
        seeds=estimates.trainings,
    )
    kinds = [with_adjusted_p(part) for part in rows.partition_by("kind", maintain_order=True)]
    return pl.concat(kinds).select(pl.col(name).cast(kind) for name, kind in EFFECTS.items())


def two_level_effects(rows: pl.DataFrame, effects: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Effects of one or two factors with two levels each, as differences; a row for each, in their order.

    `rows` are those of `factor_effects`, where an effect stands once for every level; here it stands once, so
    p_adj is adjusted by Holm over `effects`. Each effect maps its factors to their second levels. For one
    factor, effect is the second level minus the first; for two, half of the change of one factor's effect
    from the other's first level to its second.
    """
    matches = []
    for effect in effects:
        (factor, level), (other, other_level) = [*effect.items(), (None, None)][:2]
        second = {"factor": factor, "level": str(level), "other": other}
        second["other_level"] = None if other is None else str(other_level)
        matches.append(rows.filter(pl.col(key).eq_missing(pl.lit(value)) for key, value in second.items()))
    doubled = pl.col("effect", "stderr", "low", "high") * 2.0
    return with_adjusted_p(pl.concat(matches).with_columns(doubled))


def _weightings(block: Cube) -> Iterator[tuple[dict[str, Any], Array]]:
    everything = mean_weights(block, {})
    varied = [axis for axis in block.axes if len(levels(block, axis)) > 1]
    for axis in varied:
        for level in levels(block, axis):
            yield _named("main", axis, level), mean_weights(block, {axis: level}) - everything
    for one, other in combinations(varied, 2):
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
    """Levels of an axis, in the order of the cells."""
    place = block.axes.index(axis)
    return list(dict.fromkeys(cell[place] for cell in block.cells))


def complete_grid(block: Cube) -> Cube:
    """The full grid left after repeatedly dropping the level with the largest share of missing cells.

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
        if len(cells) == np.prod([len(kept_levels) for kept_levels in kept.values()]) or not cells:
            break
        axis, level = min(
            ((axis, level) for axis in block.axes for level in kept[axis] if len(kept[axis]) > 1),
            key=lambda axis_level: _share(block, cells, kept, *axis_level),
        )
        kept[axis].remove(level)
    return replace(
        block,
        cells=tuple(block.cells[number] for number in cells),
        accuracy=block.accuracy[cells],
        trainings=None if block.trainings is None else block.trainings[cells],
    )


def _share(block: Cube, cells: list[int], kept: dict[str, list[Any]], axis: str, level: Any) -> float:
    """Share of a full grid's cells at a level that are present."""
    place = block.axes.index(axis)
    full = np.prod([len(kept_levels) for other, kept_levels in kept.items() if other != axis])
    return float(sum(block.cells[number][place] == level for number in cells) / full)
