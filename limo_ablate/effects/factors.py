"""Main effects and two-factor interactions of a block, each with its error; and how variable what is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.effects.crossed import crossed
from limo_ablate.effects.cube import Cube, at
from limo_ablate.effects.power import ALPHA
from limo_ablate.effects.resample import holm

Array = npt.NDArray[np.float64]
EFFECTS: dict[str, Any] = {
    **dict.fromkeys(("kind", "factor", "level", "other", "other_level"), pl.String),
    **dict.fromkeys(("effect", "stderr", "low", "high", "p", "p_adj"), pl.Float64),
    "seeds": pl.Int64,
}


def factor_effects(block: Cube, alpha: float = ALPHA) -> pl.DataFrame:
    """A row for each level of each factor, and for each pair of levels of two factors. Exploratory.

    `main`: the mean at a level minus the mean of all; `interaction`: what a pair of levels has beyond both.
    The block's cells must be balanced (`complete`, or an orthogonal fraction). p_adj is Holm's within a kind.
    Columns: kind, factor, level, other?, other_level?, effect, stderr, low, high, p, p_adj, seeds.
    """
    named = list(_weightings(block))
    if not named:
        return pl.DataFrame(schema=EFFECTS)
    seeds = block.complete(np.ones(len(block.cells)))
    if not seeds.any():
        return pl.DataFrame(schema=EFFECTS)
    weights = np.stack([weighting for _, weighting in named])
    found = crossed(np.tensordot(weights, block.accuracy[:, seeds], axes=1))
    low, high = found.interval(1 - alpha)
    rows = pl.DataFrame([row for row, _ in named]).with_columns(
        effect=found.mean, stderr=found.stderr, low=low, high=high, p=found.p_value(), seeds=int(seeds.sum())
    )
    parts = [
        part.with_columns(p_adj=pl.Series(holm(part["p"].to_numpy())))
        for part in rows.partition_by("kind", maintain_order=True)
    ]
    return pl.concat(parts).select(pl.col(name).cast(kind) for name, kind in EFFECTS.items())


def _weightings(block: Cube) -> Iterator[tuple[dict[str, Any], Array]]:
    everything = at(block, {})
    several = [axis for axis in block.axes if len(levels(block, axis)) > 1]
    for axis in several:
        for level in levels(block, axis):
            yield _named("main", axis, level), at(block, {axis: level}) - everything
    for one, other in combinations(several, 2):
        for a in levels(block, one):
            for b in levels(block, other):
                both = at(block, {one: a, other: b})
                if both.any():
                    weighting = both - at(block, {one: a}) - at(block, {other: b}) + everything
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


def complete(block: Cube) -> Cube:
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
    part = tuple(block.cells[number] for number in cells)
    return Cube(block.axes, part, block.seeds, block.problems, block.accuracy[cells], block.samples)


def _share(block: Cube, cells: list[int], kept: dict[str, list[Any]], axis: str, level: Any) -> float:
    """Share of the cells at a level, of those a full grid would have there, that are there."""
    place = block.axes.index(axis)
    wanted = np.prod([len(found) for other, found in kept.items() if other != axis])
    return float(sum(block.cells[number][place] == level for number in cells) / wanted)


def components(block: Cube) -> pl.DataFrame:
    """How much of the variance of one completion's correctness is whose, averaged over the block's cells.

    A row for each of `problem`, `training`, `rest` (problem x training, beyond sampling) and `sample`:
    component, variance, sd, share, and `of_mean`, its part in the variance of a cell's mean. By sums of
    squares of the two-way layout (random effects); below 0 counts as 0. With one sample of each problem
    `rest` is null and in `sample`; with one seed `training` is null and no claim can be made beyond it.
    """
    full = block.accuracy[np.isfinite(block.accuracy[:, :, 0]).all(axis=1)]
    if not len(full):
        return pl.DataFrame()
    _, r, n = full.shape
    k = block.samples
    within = (full * (1 - full)).mean() * (k / (k - 1) if k > 1 else 1.0)
    columns = full.mean(axis=1).var(axis=1, ddof=1).mean()
    if r == 1:
        variances = {"problem": max(columns - within / k, 0.0) if k > 1 else None, "training": None}
        return _shares(variances | {"rest": None, "sample": within}, r, n, k)
    rows = full.mean(axis=2).var(axis=1, ddof=1).mean()
    centred = full - full.mean(axis=1, keepdims=True) - full.mean(axis=2, keepdims=True)
    rest = ((centred + full.mean(axis=(1, 2), keepdims=True)) ** 2).sum(axis=(1, 2)).mean() / (
        (r - 1) * (n - 1)
    )
    variances = {
        "problem": max(columns - rest / r, 0.0),
        "training": max(rows - rest / n, 0.0),
        "rest": max(rest - within / k, 0.0) if k > 1 else None,
        "sample": within if k > 1 else rest,
    }
    return _shares(variances, r, n, k)


def _shares(variances: dict[str, float | None], r: int, n: int, k: int) -> pl.DataFrame:
    total = sum(value or 0.0 for value in variances.values())
    divided = {"problem": n, "training": r, "rest": n * r, "sample": n * r * k}
    return pl.DataFrame(
        [
            {
                "component": name,
                "variance": value,
                "sd": None if value is None else value**0.5,
                "share": None if value is None or not total else value / total,
                "of_mean": None if value is None else value / divided[name],
            }
            for name, value in variances.items()
        ],
        schema={"component": pl.String, **dict.fromkeys(("variance", "sd", "share", "of_mean"), pl.Float64)},
    )
