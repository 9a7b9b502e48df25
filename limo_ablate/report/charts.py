"""The report's charts, in Altair.

Accuracy against a size: a line with error bars for each level, named at its end; what was measured at size
0, which no logarithmic axis has, is a dashed line across. Against categories: points with error bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from limo_ablate.report.figures import SIZE, UNTRAINED, FigureData
from limo_ablate.report.names import axis, level, percent, score_title

HEIGHT = 340
"""Pixels of the plot."""
DODGE = 0.012
"""Share of the axis between neighbouring lines' points, so that their error bars don't hide each other."""
LABEL_GAP = 0.045
"""Share of the height between two names at the ends of lines."""


def efficiency_chart(data: FigureData) -> alt.LayerChart | alt.FacetChart:
    """The chart of a declared figure: mean accuracy, bars of one standard error over seeds."""
    return _categories(data) if data.scale == "category" else _sizes(data)


def note(data: FigureData) -> str:
    """What the error bars and the dashed lines are."""
    seeds = sorted(set(data.points["seeds"]))
    count = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
    name = data.over + "s" * (seeds[-1] > 1)
    over = name if seeds[-1] > 1 else "problems"
    zero = "before fine-tuning" if data.figure.x == SIZE else f"{axis(data.figure.x)} 0"
    dashed = "" if data.base.is_empty() else f" Dashed: {zero}."
    return f"Mean of {count} {name}, bars ± 1 standard error over {over}.{dashed}"


def _points(data: FigureData) -> pl.DataFrame:
    """The points with the ends of their bars and what the pointer shows."""
    kind = "item_error" if data.points["seeds"].max() == 1 else "seed_error"
    error = pl.col(kind).fill_null(0.0)
    rows = data.points.with_columns(
        bottom=(pl.col("mean") - error).clip(0.0, 1.0), top=(pl.col("mean") + error).clip(0.0, 1.0)
    )
    shown = [
        f"{percent(mean)} % (95 % interval {percent(low)} to {percent(high)}, n = {seeds})"
        for mean, low, high, seeds in rows.select("mean", "low", "high", "seeds").iter_rows()
    ]
    return rows.select("x", "line", "mean", "bottom", "top").with_columns(pl.Series("accuracy", shown))


def _ceiling(points: pl.DataFrame) -> float:
    """Upper end of the accuracy axis: the next step above all bars."""
    highest = max(points["top"].to_list())
    return next(
        step for step in (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if highest * 1.02 <= step or step == 1.0
    )


def _y(ceiling: float, title: str) -> alt.Y:
    scale = alt.Scale(domain=[0, ceiling], clamp=True)
    return alt.Y("mean:Q", title=title, scale=scale, axis=alt.Axis(format=".0%", tickCount=5))


def _colour(data: FigureData, legend: bool) -> alt.Color:
    shown = alt.Legend(title=axis(data.figure.line)) if legend else None
    return alt.Color("line:N", scale=alt.Scale(domain=data.lines), legend=shown)


def _tooltip(data: FigureData) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("line:N", title=axis(data.figure.line)),
        alt.Tooltip("x", title=axis(data.figure.x)),
        alt.Tooltip("accuracy:N", title="accuracy"),
    ]


def _sizes(data: FigureData) -> alt.LayerChart | alt.FacetChart:
    log = data.scale == "log"
    points = _points(data)
    drawn, base_points = (points.join(part, on=["x", "line"], how="semi") for part in (data.curve, data.base))
    ticks = sorted(set(drawn["x"]))
    low, high = _domain(ticks, log)
    x = alt.X(
        "place:Q",
        title=axis(data.figure.x) + (" (log scale)" if log else ""),
        scale=alt.Scale(type="log" if log else "linear", domain=[low, high], nice=False),
        # by labelExpr: an axis would round a `format` to the distance of its ticks, 32 to 3e+1
        axis=alt.Axis(
            values=ticks,
            labelExpr=f"format(datum.value, '{'~r' if max(ticks) < 10_000 else '~s'}')",
            labelOverlap="greedy",
        ),
    )
    shape = alt.Shape("line:N", scale=alt.Scale(domain=data.lines), legend=None)
    ceiling = _ceiling(points)
    colour, y = _colour(data, False), _y(ceiling, score_title(data.figure.score))
    base = alt.Chart(_dodged(drawn, data.lines, low, high, log)).encode(x=x, color=colour)
    named = alt.Chart(_line_ends(drawn, ceiling).with_columns(place=pl.lit(high))).encode(x=x, color=colour)
    layers: list[Any] = [
        base.mark_line(strokeWidth=2).encode(y=y),
        base.mark_rule(strokeWidth=1.5).encode(y="bottom:Q", y2="top:Q"),
        base.mark_point(filled=True, size=70, opacity=1).encode(y=y, shape=shape, tooltip=_tooltip(data)),
        named.mark_text(align="left", dx=6, fontWeight=600).encode(y="label_y:Q", text="line:N"),
    ]
    if not base_points.is_empty():
        dashed = alt.Chart(base_points).mark_rule(strokeDash=[5, 4], strokeWidth=1.5)
        dashed = dashed.encode(y=y, tooltip=_tooltip(data))
        layers.insert(0, dashed if UNTRAINED in base_points["line"] else dashed.encode(color=colour))
    return alt.layer(*layers).properties(height=HEIGHT)


def _domain(ticks: Sequence[float], log: bool) -> tuple[float, float]:
    low, high = min(ticks), max(ticks)
    if log:
        margin = (high / low) ** 0.05
        return low / margin, high * margin
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def _dodged(points: pl.DataFrame, lines: list[str], low: float, high: float, log: bool) -> pl.DataFrame:
    """The column `place`: x moved a little to the side, differently for each line."""
    side = {name: (i - (len(lines) - 1) / 2) * DODGE for i, name in enumerate(lines)}
    shift = pl.col("line").replace_strict(side, return_dtype=pl.Float64)
    place = pl.col("x") * (high / low) ** shift if log else pl.col("x") + shift * (high - low)
    return points.with_columns(place=place)


def _line_ends(points: pl.DataFrame, ceiling: float) -> pl.DataFrame:
    """How high each line's name stands: at its last point, moved until no two names touch."""
    ends = points.sort("x").group_by("line", maintain_order=True).last().sort("mean")
    heights = spread(ends["mean"].to_list(), LABEL_GAP * ceiling, ceiling)
    return ends.select("line", label_y=pl.Series(heights, dtype=pl.Float64))


def spread(values: Sequence[float], gap: float, ceiling: float) -> list[float]:
    """Ascending `values`, moved as little as it takes to keep `gap` between neighbours, 0 to `ceiling`."""
    placed: list[list[float]] = []  # runs of names that touch: [sum of the wished middles, number of names]
    for value in values:
        placed.append([value, 1])
        while len(placed) > 1 and _bottom(placed[-1], gap) < _top(placed[-2], gap) + gap:
            total, count = placed.pop()
            placed[-1][0] += total
            placed[-1][1] += count
    result: list[float] = []
    for run in placed:
        shift = min(0.0, ceiling - _top(run, gap))
        for i in range(int(run[1])):
            lowest = result[-1] + gap if result else 0.0
            result.append(max(lowest, _bottom(run, gap) + shift + i * gap))
    return result


def _bottom(run: list[float], gap: float) -> float:
    return run[0] / run[1] - (run[1] - 1) / 2 * gap


def _top(run: list[float], gap: float) -> float:
    return run[0] / run[1] + (run[1] - 1) / 2 * gap


def _categories(data: FigureData) -> alt.LayerChart | alt.FacetChart:
    points, several = _points(data), len(data.lines) > 1
    x = alt.X(
        "x:N",
        title=axis(data.figure.x),
        sort=[level(value) for value in data.levels],
        axis=alt.Axis(labelAngle=0, labelLimit=140),
        scale=alt.Scale(paddingInner=0.4, paddingOuter=0.3),
    )
    offset = alt.XOffset("line:N", sort=data.lines, scale=alt.Scale(paddingOuter=0.5))
    base = alt.Chart(points).encode(x=x, xOffset=offset, color=_colour(data, several))
    y = _y(_ceiling(points), score_title(data.figure.score))
    shape = alt.Shape(
        "line:N",
        scale=alt.Scale(domain=data.lines),
        legend=alt.Legend(title=axis(data.figure.line)) if several else None,
    )
    layers: list[Any] = [
        base.mark_rule(strokeWidth=2).encode(y="bottom:Q", y2="top:Q"),
        base.mark_point(filled=True, size=110, opacity=1).encode(y=y, shape=shape, tooltip=_tooltip(data)),
    ]
    if not several:
        value = alt.Text("mean:Q", format=".1%")
        layers.append(base.mark_text(align="left", dx=12, fontWeight=600).encode(y=y, text=value))
    return alt.layer(*layers).properties(height=HEIGHT)
