"""The fitted curves of a figure's lines, all of one draw, so that lines can be compared with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from limo_ablate.analysis.cube import Cube, gathered
from limo_ablate.analysis.curves import Curve, fit_curves
from limo_ablate.analysis.factors import complete, levels

FEWEST = 3
"""Sizes that a curve is fitted to: with two, no form can be told from another."""


@dataclass(frozen=True, slots=True)
class Fits:
    curves: dict[str, Curve]
    """Of each line that was run at all of `sizes`, in the figure's order."""
    sizes: list[float]
    """Above 0, ascending."""

    def ranked(self) -> list[tuple[str, Curve]]:
        """From the line that comes highest at the largest size to the one that comes lowest."""
        return sorted(self.curves.items(), key=lambda named: -float(named[1].fitted[-1]))

    def neighbours(self) -> list[tuple[str, str]]:
        """(better, other) of each two lines that follow each other in the figure's order; the better one has
        the higher accuracy at the largest size."""
        height = {line: float(curve.fitted[-1]) for line, curve in self.curves.items()}
        return [(a, b) if height[a] > height[b] else (b, a) for a, b in pairwise(self.curves)]


def fitted(answers: pl.DataFrame, lines: Sequence[str]) -> Fits | None:
    """`answers` are those of a figure over numbers. The largest part of the grid of sizes and
    lines that was run in full is fitted, over the trainings that all of it has; null with too few sizes."""
    grid = full(answers.filter(pl.col("x") > 0, pl.col("line").is_in(lines)))
    if not grid:
        return None
    sizes, kept = sorted(levels(grid, "x")), [line for line in lines if line in levels(grid, "line")]
    values = grid.common(np.ones(len(grid.cells)))
    if len(sizes) < FEWEST or not values.shape[1] or grid.drawn < 2:
        return None
    order = [[grid.cells.index((size, line)) for size in sizes] for line in kept]
    curves = fit_curves(np.array(sizes, dtype=float), values[np.array(order)], clusters=grid.clusters)
    return Fits(dict(zip(kept, curves, strict=True)), [float(size) for size in sizes])


def full(answers: pl.DataFrame) -> Cube | None:
    """The largest full grid of `x` and `line`, on the problems that all of it answered; null without two."""
    points = answers.select("x", "line", "seed", "training").unique(maintain_order=True)
    points = points.with_columns(name=pl.row_index().cast(pl.String))
    named = answers.join(points, on=points.columns[:-1], nulls_equal=True)
    wide = named.pivot("name", index="problem", values="accuracy", maintain_order=True).drop_nulls()
    if wide.height < 2:
        return None
    places = {name: ((x, line), seed, training) for x, line, seed, training, name in points.rows()}
    over = "seed" if points["training"].n_unique() == 1 else "draw"
    return complete(gathered(("x", "line"), places, wide, answers, over))
