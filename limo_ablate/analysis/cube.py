"""A block's accuracies as one array: cells x trainings x problems, which every effect is a weighting of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.analysis.crossed import by_cluster
from limo_ablate.analysis.replicates import cluster_numbers, largest_full_grid, layout_array, replicate_axis
from limo_ablate.analysis.trials import Trial
from limo_ablate.core.errors import UserError

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Place = tuple[tuple[Any, ...], int, int]
"""Cell, what is drawn anew, training under it."""


@dataclass(frozen=True, slots=True)
class Cube:
    """What the cells of a block scored on the problems that all of them answered."""

    axes: tuple[str, ...]
    cells: tuple[tuple[Any, ...], ...]
    """A level for each axis."""
    seeds: tuple[int, ...]
    """What is drawn anew: seeds, or the levels of the axis `over`."""
    problems: tuple[str, ...]
    accuracy: Array
    """(cells, seeds, problems), each a mean over samples; NaN where a cell has no trial of that seed."""
    samples: int
    """Completions of each problem in a trial; the fewest."""
    over: str = "seed"
    """`select.seed`, `model.pretrain.seed` where the block draws those anew: trials that share one are no
    replicates of it, and are averaged in `accuracy`."""
    trainings: Array | None = None
    """(cells, seeds, trainings under each, problems), where there is such an axis: crossed with the study's
    seeds, which are the trainings under each."""
    clusters: npt.NDArray[np.int64] | None = None
    """(problems,) which of them belong together, from 0; null: each stands alone."""

    def complete(self, weights: Array) -> npt.NDArray[np.bool_]:
        """(seeds,) whether every cell with a weight has a trial of that seed (see `common`)."""
        return self._complete(weights)[0]

    def common(self, weights: Array) -> Array:
        """(cells, seeds, problems) that every cell with a weight has; (cells, seeds, trainings under each,
        problems) where there are those: the largest full grid of the two, found as `rectangle` does."""
        seeds, trainings = self._complete(weights)
        if self.trainings is None:
            return self.accuracy[:, seeds]
        return self.trainings[:, seeds][:, :, trainings]

    def _complete(self, weights: Array) -> tuple[Mask, Mask]:
        layouts = self.accuracy[:, :, None] if self.trainings is None else self.trainings
        return largest_full_grid(np.asarray(np.isfinite(layouts[weights != 0, :, :, 0]).all(axis=0)))

    @property
    def units(self) -> int:
        """How many problems, or clusters of them: errors need two."""
        return len(self.problems) if self.clusters is None else int(self.clusters.max()) + 1

    def weighted(self, weights: Array) -> Array:
        """The weighted sum of cells, in the shape of a cell of `common`. Raises UserError."""
        values = self.common(weights)
        if not weights.any() or not values.shape[1]:
            raise UserError("no seed has been run in all of the cells that are compared")
        if len(self.problems) < 2:
            raise UserError(f"{len(self.problems)} problems that all trials answered; errors need two")
        if self.units < 2:
            raise UserError(f"all {len(self.problems)} problems are of one cluster; errors need two")
        wanted = weights != 0
        return np.asarray(np.tensordot(weights[wanted], values[wanted], axes=1))

    def grouped(self, values: Array) -> Array:
        """(E, ..., problems) as (E, ..., clusters), each cluster's share of the mean."""
        return values if self.clusters is None else by_cluster(values, self.clusters)


def cube(trials: Iterable[Trial], answers: pl.DataFrame, axes: Sequence[str], score: str) -> Cube:
    """The cube of `trials` (those of a block) over `axes`; `answers` is `effects.items` of them.

    An axis of seeds that most points have several levels of (`select.seed`: the subset drawn anew) is no
    axis of the cube but what its trainings are drawn by, `over`. A trial that ran twice under one seed and
    levels (another factor varied) is averaged. Raises UserError when no trial has the score, and where two
    axes are drawn anew: how sure a mean over both is can't be told by one of them.
    """
    levels = {trial.name: tuple(trial.level(a) for a in axes) for trial in trials}
    seed_of = {trial.name: trial.seed for trial in trials}
    own = answers.filter((pl.col("score") == score) & pl.col("trial").is_in(list(levels)))
    if own.is_empty():
        known = ", ".join(answers["score"].unique(maintain_order=True))
        raise UserError(
            f"score {score}: no finished trial of the block has it; scores: {known or 'none yet'}"
        )
    over = replicate_axis(axes, list(levels.values()))
    wide = own.pivot("trial", index="problem", values="accuracy", maintain_order=True).drop_nulls()
    places = {
        name: (
            tuple(level for axis, level in zip(axes, found, strict=True) if axis != over),
            found[axes.index(over)] if over else seed_of[name],
            seed_of[name] if over else 0,
        )
        for name, found in levels.items()
    }
    found = build_cube(tuple(axis for axis in axes if axis != over), places, wide, own, over or "seed")
    return replace(found, samples=int(own["samples"].min()))  # type: ignore[arg-type]


def build_cube(
    axes: tuple[str, ...], places: Mapping[str, Place], wide: pl.DataFrame, own: pl.DataFrame, over: str
) -> Cube:
    """The cube of trials at `places` (cell, what is drawn anew, training under it); of one sample.

    `wide` has the column problem and one for each trial, `own` each problem's cluster where there are any.
    """
    cells = list(dict.fromkeys(cell for cell, _, _ in places.values()))
    seeds = sorted({seed for _, seed, _ in places.values()})
    trainings = layout_array(wide, places, cells, seeds)
    count = np.isfinite(trainings[..., :1]).sum(axis=2)
    with np.errstate(invalid="ignore"):
        accuracy = np.nansum(trainings, axis=2) / count
    return Cube(
        axes, tuple(cells), tuple(seeds), tuple(wide["problem"]), accuracy, 1, over,
        trainings if over != "seed" else None, cluster_numbers(own, wide["problem"]),
    )  # fmt: skip


def contrast_weights(block: Cube, factor: str, a: Any, b: Any) -> Array:
    """(cells,) weights of level `b` minus level `a` of `factor`, over all points that have both.

    In a fraction of a factorial no point has both: there, what is compared is all cells at `b` with all at
    `a`, if every other factor's levels are in both alike. Raises UserError where neither can be, and for a
    factor or level the block does not have.
    """
    place = _axis(block, factor)
    known = list(dict.fromkeys(cell[place] for number, cell in enumerate(block.cells) if _run(block, number)))
    for level in (a, b):
        if level not in known:
            raise UserError(f"no finished trial at {factor}={level}; there are: {', '.join(map(str, known))}")
    points: dict[tuple[Any, ...], dict[Any, int]] = {}
    for number, cell in enumerate(block.cells):
        points.setdefault(cell[:place] + cell[place + 1 :], {})[cell[place]] = number
    both = [arms for arms in points.values() if a in arms and b in arms and _run(block, arms[a], arms[b])]
    if not both:
        return _balanced(block, factor, a, b)
    weights = np.zeros(len(block.cells))
    for arms in both:
        weights[arms[b]] += 1 / len(both)
        weights[arms[a]] -= 1 / len(both)
    return weights


def _balanced(block: Cube, factor: str, a: Any, b: Any) -> Array:
    place = _axis(block, factor)
    arms = {
        level: [
            cell for number, cell in enumerate(block.cells) if cell[place] == level and _run(block, number)
        ]
        for level in (a, b)
    }
    others = [other for other in range(len(block.axes)) if other != place]
    counts = [[Counter(cell[other] for cell in arms[level]) for other in others] for level in (a, b)]
    if not arms[a] or counts[0] != counts[1]:
        raise UserError(f"{factor}={a} and {factor}={b} have no trials yet that are alike in all else")
    return mean_weights(block, {factor: b}) - mean_weights(block, {factor: a})


def mean_weights(block: Cube, levels: Mapping[str, Any]) -> Array:
    """(cells,) weights of the mean of all cells with these levels."""
    wanted = [all(cell[_axis(block, key)] == level for key, level in levels.items()) for cell in block.cells]
    return np.array(wanted, dtype=float) / max(sum(wanted), 1)


def _axis(block: Cube, factor: str) -> int:
    if factor == block.over:
        raise UserError(f"factor={factor}: drawn anew at each point, so its levels are replicates, not arms")
    if factor not in block.axes:
        raise UserError(f"factor={factor}: no axis of the block; axes: {', '.join(block.axes)}")
    return block.axes.index(factor)


def _run(block: Cube, *cells: int) -> bool:
    return bool((~np.isnan(block.accuracy[list(cells), :, 0])).all(axis=0).any())
