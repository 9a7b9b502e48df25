"""A block's accuracies as an array, cells x trainings x problems; an effect is a weighted sum of cells."""

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
from limo_ablate.study.contrast import LIKELIHOOD, Contrast
from limo_ablate.study.levels import in_order

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Place = tuple[tuple[Any, ...], int, int]
"""Cell, replicate (seed, or level of the axis of replicates), training within it."""


@dataclass(frozen=True, slots=True)
class Cube:
    """Accuracies of a block's cells on the problems that all of its trials answered."""

    axes: tuple[str, ...]
    cells: tuple[tuple[Any, ...], ...]
    """A level for each axis."""
    seeds: tuple[int, ...]
    """The replicates: seeds, or the levels of the axis `over`."""
    problems: tuple[str, ...]
    accuracy: Array
    """(cells, seeds, problems), means over samples; NaN where a cell has no trial of that seed (or, before
    `answered_by`, where it did not answer the problem)."""
    samples: int
    """Smallest number of completions of a problem in a trial."""
    over: str = "seed"
    """`seed`, or the axis whose levels are the replicates (`select.seed`, `model.pretrain.seed`): trials that
    share a level are averaged in `accuracy`."""
    trainings: Array | None = None
    """(cells, seeds, trainings of each, problems) if `over` is an axis: it is crossed with the study's seeds,
    which are the trainings of each level."""
    clusters: npt.NDArray[np.int64] | None = None
    """(problems,) number of each problem's cluster, from 0; None: problems are not clustered."""

    def answered_by(self, weights: Array) -> Cube:
        """The same on the problems that all trials of the cells with a weight answered.

        Raises UserError if there are none."""
        layouts = self.accuracy[:, :, None] if self.trainings is None else self.trainings
        trials = layouts[weights != 0].reshape(-1, len(self.problems))
        answered = np.isfinite(trials)
        kept = answered[answered.any(axis=1)].all(axis=0)
        if not kept.any():
            raise UserError("the arms answered no problem in common")
        if kept.all():
            return self
        clusters = self.clusters
        if clusters is not None:
            clusters = np.unique(clusters[kept], return_inverse=True)[1].astype(np.int64)
        return replace(
            self,
            problems=tuple(name for name, own in zip(self.problems, kept, strict=True) if own),
            accuracy=self.accuracy[..., kept],
            trainings=None if self.trainings is None else self.trainings[..., kept],
            clusters=clusters,
        )

    def answered(self, weights: Array) -> int:
        """Number of problems that at least one trial of the cells with a weight answered."""
        return int(np.isfinite(self.accuracy[weights != 0]).any(axis=(0, 1)).sum())

    def complete(self, weights: Array) -> npt.NDArray[np.bool_]:
        """(seeds,) whether every cell with a weight has a trial of that seed (see `common`)."""
        return self._complete(weights)[0]

    def common(self, weights: Array) -> Array:
        """(cells, seeds, problems) of the seeds that every cell with a weight has; with an axis of replicates
        (cells, seeds, trainings of each, problems) of the largest full grid, see `largest_full_grid`."""
        seeds, trainings = self._complete(weights)
        if self.trainings is None:
            return self.accuracy[:, seeds]
        return self.trainings[:, seeds][:, :, trainings]

    def _complete(self, weights: Array) -> tuple[Mask, Mask]:
        layouts = self.accuracy[:, :, None] if self.trainings is None else self.trainings
        return largest_full_grid(np.asarray(np.isfinite(layouts[weights != 0, :, :, 0]).all(axis=0)))

    @property
    def units(self) -> int:
        """Number of problems, or of their clusters: standard errors need two."""
        return len(self.problems) if self.clusters is None else int(self.clusters.max()) + 1

    def weighted(self, weights: Array) -> Array:
        """The weighted sum of cells, shaped like a cell of `common`. Raises UserError if it has no error."""
        values = self.common(weights)
        if not weights.any() or not values.shape[1]:
            raise UserError("no seed has been run in all of the cells that are compared")
        if len(self.problems) < 2:
            raise UserError("all trials answered one problem in common; standard errors need two")
        if self.units < 2:
            raise UserError(
                f"all {len(self.problems)} problems are in one cluster; standard errors need two clusters"
            )
        weighted_cells = weights != 0
        return np.asarray(np.tensordot(weights[weighted_cells], values[weighted_cells], axes=1))

    def grouped(self, values: Array) -> Array:
        """(E, ..., problems) as (E, ..., clusters), each cluster's share of the mean."""
        return values if self.clusters is None else by_cluster(values, self.clusters)


def cube(
    trials: Iterable[Trial],
    answers: pl.DataFrame,
    axes: Sequence[str],
    score: str,
    measure: str = "accuracy",
    *,
    all_problems: bool = False,
) -> Cube:
    """The cube of a block's `trials` over `axes`; `answers` is `answers.items` of them, `measure` the column
    that stands in it for accuracy. With `all_problems` also those that only some trials answered, which are
    NaN for the others (see `Cube.answered_by`).

    An axis of seeds with several levels at most points (`select.seed`: other subsets) is not an axis of the
    cube but its replicates, `over`. Trials with the same seed and levels (another factor varied) are
    averaged. Raises UserError if no trial has the score, if its trials have no problem in common, or if two
    axes are replicates: the error of a mean over both can't be estimated from one of them.
    """
    levels = {trial.name: tuple(trial.level(a) for a in axes) for trial in trials}
    seed_of = {trial.name: trial.seed for trial in trials}
    own = answers.filter((pl.col("score") == score) & pl.col("trial").is_in(list(levels)))
    if own.is_empty():
        known = ", ".join(answers["score"].unique(maintain_order=True))
        raise UserError(
            f"score {score}: no finished trial of the block has it; scores: {known or 'none yet'}"
        )
    missing = own[measure].null_count()
    if missing == own.height or (missing and measure != LIKELIHOOD):
        does = (
            "record how their completions ended" if measure != LIKELIHOOD else "measure it (eval.likelihood)"
        )
        raise UserError(f"score {score}.{measure}: its trials do not {does}")
    over = replicate_axis(axes, list(levels.values()))
    wide = own.pivot("trial", index="problem", values=measure, maintain_order=True)
    wide = wide if all_problems else wide.drop_nulls()
    if wide.is_empty():
        raise UserError(f"score {score}: the arms answered no problem in common")
    places = {
        name: (
            tuple(level for axis, level in zip(axes, own_levels, strict=True) if axis != over),
            own_levels[axes.index(over)] if over else seed_of[name],
            seed_of[name] if over else 0,
        )
        for name, own_levels in levels.items()
    }
    block = build_cube(tuple(axis for axis in axes if axis != over), places, wide, own, over or "seed")
    samples = 1 if measure == LIKELIHOOD else int(own["samples"].min())  # type: ignore[arg-type]
    return replace(block, samples=samples)


def build_cube(
    axes: tuple[str, ...], places: Mapping[str, Place], wide: pl.DataFrame, own: pl.DataFrame, over: str
) -> Cube:
    """The cube of trials at `places`, as if with one sample.

    `wide` has the column problem and one for each trial, `own` each problem's cluster, if any.
    """
    cells = list(dict.fromkeys(cell for cell, _, _ in places.values()))
    seeds = sorted({seed for _, seed, _ in places.values()})
    trainings = layout_array(wide, places, cells, seeds)
    count = np.isfinite(trainings).sum(axis=2)
    with np.errstate(invalid="ignore"):
        accuracy = np.nansum(trainings, axis=2) / count
    return Cube(
        axes, tuple(cells), tuple(seeds), tuple(wide["problem"]), accuracy, 1, over,
        trainings if over != "seed" else None, cluster_numbers(own, wide["problem"]),
    )  # fmt: skip


def contrast_weights(block: Cube, contrast: Contrast) -> Array:
    """(cells,) weights of the contrast's effect, averaged over all points that have every level it compares
    (level `a` and level `b` of the factor; with an interaction, both at each of two levels of another axis).

    In a fractional design no point has them: there, all cells at `b` are compared with all cells at `a`, if
    both have the same levels of every other factor. Raises UserError where neither is possible, and for a
    factor or level that the block does not have.
    """
    places = [_axis(block, key) for key in (contrast.factor, *contrast.interaction)]
    for key in contrast.at:
        _axis(block, key)
    run = [number for number in range(len(block.cells)) if _run(block, number)]
    numbers = contrast.compared(run, lambda number: dict(zip(block.axes, block.cells[number], strict=True)))
    groups: dict[tuple[Any, ...], list[int]] = {}
    for number in numbers:
        groups.setdefault(tuple(block.cells[number][place] for place in places), []).append(number)
    levels = [key[0] for key in groups]
    for level in (contrast.a, contrast.b):
        if level not in levels:
            known = list(dict.fromkeys(block.cells[number][places[0]] for number in run))
            at = "".join(f", {key}={value}" for key, value in contrast.at.items())
            raise UserError(
                f"no finished trial at {contrast.factor}={level}{at}; there are: {', '.join(map(str, known))}"
            )
    weights = np.zeros(len(block.cells))
    members = _alike(block, groups, contrast.coefficients(levels), places)
    if not members:
        raise UserError(f"{contrast.comparison}: no finished trials yet that agree in all other factors")
    for cells, weight in members:
        weights[cells] = weight / len(cells)
    return weights


def _alike(
    block: Cube,
    groups: Mapping[tuple[Any, ...], list[int]],
    weights: Mapping[tuple[Any, ...], float],
    places: list[int],
) -> list[tuple[list[int], float]]:
    """The cells of each group that is compared, with its weight: those at points that all groups have, or
    all, if the groups have the same levels of every other factor; empty where neither is possible."""
    if not weights.keys() <= groups.keys():
        return []
    other_axes = [axis for axis in range(len(block.axes)) if axis not in places]
    points = {
        key: {tuple(block.cells[number][axis] for axis in other_axes): number for number in groups[key]}
        for key in weights
    }
    shared = [point for point in next(iter(points.values())) if all(point in own for own in points.values())]
    if shared:
        return [([points[key][point] for point in shared], weight) for key, weight in weights.items()]
    counts = [
        [Counter(point[place] for point in own) for place in range(len(other_axes))]
        for own in points.values()
    ]
    balanced = all(count == counts[0] for count in counts)
    return [(groups[key], weight) for key, weight in weights.items()] if balanced else []


def points_compared(block: Cube, contrast: Contrast, weights: Array) -> str:
    """`select.size=4, 16; model=mini_l`: the levels of the other axes over which a contrast averages."""
    cells = [cell for cell, weight in zip(block.cells, weights, strict=True) if weight]
    levels = {
        axis: dict.fromkeys(cell[place] for cell in cells)
        for place, axis in enumerate(block.axes)
        if axis not in (contrast.factor, *contrast.interaction)
    }
    return "; ".join(f"{axis}={', '.join(map(str, in_order(known)))}" for axis, known in levels.items())


def mean_weights(block: Cube, levels: Mapping[str, Any]) -> Array:
    """(cells,) weights of the mean of all cells with these levels."""
    members = [all(cell[_axis(block, key)] == level for key, level in levels.items()) for cell in block.cells]
    return np.array(members, dtype=float) / max(sum(members), 1)


def _axis(block: Cube, factor: str) -> int:
    if factor == block.over:
        raise UserError(f"factor={factor}: its levels are replicates, so they can't be compared as arms")
    if factor not in block.axes:
        raise UserError(f"factor={factor}: not an axis of the block; axes: {', '.join(block.axes)}")
    return block.axes.index(factor)


def _run(block: Cube, *cells: int) -> bool:
    return bool(np.isfinite(block.accuracy[list(cells)]).any(axis=-1).all(axis=0).any())
