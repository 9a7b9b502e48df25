"""Names at the ends of lines, moved until no two of them touch."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

GAP = 0.045
"""Share of the height between two names."""


def line_ends(drawn: pl.DataFrame, papers: pl.DataFrame, top: float, own: float, far: float) -> pl.DataFrame:
    """line, paper (bool), place, label_y: where each line's name stands, as high as its last point.

    `drawn` and `papers` have x, line, mean; ours have their names at `own` on the axis, the papers' at `far`.
    """
    both = [
        rows.select(
            pl.col("x").cast(pl.Float64), "line", "mean", paper=pl.lit(paper), place=pl.lit(place, pl.Float64)
        )
        for rows, paper, place in ((drawn, False, own), (papers, True, far))
    ]
    ends = pl.concat(both).sort("x").group_by("line", "paper", maintain_order=True).last().sort("mean")
    heights = spread(ends["mean"].to_list(), GAP * top, top)
    return ends.select("line", "paper", "place", label_y=pl.Series(heights, dtype=pl.Float64))


def spread(values: Sequence[float], gap: float, top: float) -> list[float]:
    """Ascending `values`, moved as little as it takes to keep `gap` between neighbours, 0 to `top`."""
    placed: list[list[float]] = []  # runs of names that touch: [sum of the wished middles, number of names]
    for value in values:
        placed.append([value, 1])
        while len(placed) > 1 and _bottom(placed[-1], gap) < _top(placed[-2], gap) + gap:
            total, count = placed.pop()
            placed[-1][0] += total
            placed[-1][1] += count
    result: list[float] = []
    for run in placed:
        shift = min(0.0, top - _top(run, gap))
        for i in range(int(run[1])):
            lowest = result[-1] + gap if result else 0.0
            result.append(max(lowest, _bottom(run, gap) + shift + i * gap))
    return result


def _bottom(run: list[float], gap: float) -> float:
    return run[0] / run[1] - (run[1] - 1) / 2 * gap


def _top(run: list[float], gap: float) -> float:
    return run[0] / run[1] + (run[1] - 1) / 2 * gap
