"""Chart of accuracy against an amount: points with error bars, and a line for each level, named at its end.

The line is the fitted curve with its band if there is one, else it joins the points. The accuracy at size 0,
which a logarithmic axis can't show, is a dashed horizontal line.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import polars as pl

from limo_ablate.report.declared.literature import published
from limo_ablate.report.declared.marks import (
    HEIGHT,
    accuracy_axis,
    ceiling,
    colour,
    paper_marks,
    points,
    tooltip,
)
from limo_ablate.report.figure_data import UNTRAINED, FigureData
from limo_ablate.report.labels import axis
from limo_ablate.study.design import ALL

DODGE = 0.012
"""Offset of neighbouring lines' points, as a share of the axis, so that error bars don't overlap."""
BANDS = 6
"""Maximum number of curves with bands in one chart; with more, only curves are drawn."""


def sizes_chart(data: FigureData) -> alt.LayerChart | alt.FacetChart:
    """The figure on a linear or logarithmic axis."""
    log, rows, papers = data.scale == "log", points(data), published(data)
    measured, base = (rows.join(part, on=["x", "line"], how="semi") for part in (data.curve, data.base))
    low, high = domain([*measured["x"], *papers["x"]], log)
    paths = _paths(data, measured)
    top = ceiling(*rows["top"], *paths["high"].drop_nulls(), *papers["mean"])
    x = size_axis(data.figure.x, [*measured["x"], *papers["x"]], low, high, log)
    y, hue = accuracy_axis(top, data.figure.score, data.word), colour(data, False)
    own = high if papers.is_empty() else float(measured["x"].max())  # type: ignore[arg-type]
    ends = line_ends(measured, papers, top, own, high)
    named = alt.Chart(ends.filter(~pl.col("paper"))).encode(x=x, color=hue)
    names = named.mark_text(align="left", dx=8, fontWeight=600).encode(y="label_y:Q", text="line:N")
    layers = [
        *_dashed(base, y, hue, data),
        *_curves(paths, x, hue, top, data),
        *_measured(dodged(measured, data.lines, low, high, log), data, x, hue, y),
        *([] if data.figure.line == ALL else [names]),
        *([] if papers.is_empty() else _papers(papers, ends.filter("paper"), x, y)),
    ]
    return alt.layer(*layers).properties(height=HEIGHT)


def _curves(paths: pl.DataFrame, x: alt.X, hue: alt.Color, top: float, data: FigureData) -> list[alt.Chart]:
    """Lines, and their bands below them if there are any."""
    chart, score = alt.Chart(paths).encode(x=x, color=hue), data.figure.score
    band = chart.mark_area(opacity=0.15).encode(y=accuracy_axis(top, score, data.word, "low"), y2="high:Q")
    line = chart.mark_line(strokeWidth=2).encode(y=accuracy_axis(top, score, data.word))
    return [band, line] if paths["low"].is_not_null().any() else [line]


def _measured(rows: pl.DataFrame, data: FigureData, x: alt.X, hue: alt.Color, y: alt.Y) -> list[alt.Chart]:
    chart = alt.Chart(rows).encode(x=x, color=hue)
    shape = alt.Shape("line:N", scale=alt.Scale(domain=data.lines), legend=None)
    mark = chart.mark_point(filled=True, size=70, opacity=1)
    return [
        chart.mark_rule(strokeWidth=1.5).encode(y="bottom:Q", y2="top:Q"),
        mark.encode(y=y, shape=shape, tooltip=tooltip(data)),
    ]


def size_axis(
    key: str, values: Sequence[float], low: float, high: float, log: bool, field: str = "place"
) -> alt.X:
    """The x axis, labelled for `key`, with ticks at the sizes that were run."""
    ticks = sorted(set(values))
    # labelExpr, as an axis rounds `format` to the distance of its ticks: 32 to 3e+1
    return alt.X(
        f"{field}:Q",
        title=axis(key) + (" (log scale)" if log else ""),
        scale=alt.Scale(type="log" if log else "linear", domain=[low, high], nice=False),
        axis=alt.Axis(
            values=ticks,
            labelExpr=f"format(datum.value, '{'~r' if max(ticks) < 10_000 else '~s'}')",
            labelOverlap="greedy",
        ),
    )


def _paths(data: FigureData, measured: pl.DataFrame) -> pl.DataFrame:
    """place, line, mean, low?, high?: the fitted curve of a line, else its points."""
    curves = data.fits.curves if data.fits else {}
    parts = [
        measured.filter(~pl.col("line").is_in(list(curves)))
        .sort("x")
        .select(
            "line",
            place=pl.col("x").cast(pl.Float64),
            mean="mean",
            low=pl.lit(None, pl.Float64),
            high=pl.lit(None, pl.Float64),
        )
    ]
    for line, curve in curves.items():
        band = curve.band() if len(curves) <= BANDS else (None, None)
        columns = {"place": curve.grid, "mean": curve.fitted, "low": band[0], "high": band[1]}
        fit = pl.DataFrame({"line": [line] * len(curve.grid), **columns}, schema=parts[0].schema)
        parts.append(
            fit.with_columns(pl.col("mean", "low", "high").round(4), pl.col("place").round_sig_figs(5))
        )
    return pl.concat(parts)


def _dashed(base: pl.DataFrame, y: alt.Y, hue: alt.Color, data: FigureData) -> list[alt.Chart]:
    if base.is_empty():
        return []
    chart = alt.Chart(base).mark_rule(strokeDash=[5, 4], strokeWidth=1.5).encode(y=y, tooltip=tooltip(data))
    return [chart if UNTRAINED in base["line"] else chart.encode(color=hue)]


def _papers(papers: pl.DataFrame, ends: pl.DataFrame, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    chart = alt.Chart(papers.rename({"x": "place"})).encode(x=x, y=y)
    dotted = chart.mark_line(strokeWidth=1.2, strokeDash=[2, 3], style="published").encode(detail="line:N")
    name = alt.Chart(ends).mark_text(align="left", dx=6, style="muted")
    return [dotted, paper_marks(chart), name.encode(x=x, y="label_y:Q", text="line:N")]


def domain(ticks: Sequence[float], log: bool) -> tuple[float, float]:
    low, high = min(ticks), max(ticks)
    if log:
        margin = (high / low) ** 0.05
        return low / margin, high * margin
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def dodged(rows: pl.DataFrame, lines: list[str], low: float, high: float, log: bool) -> pl.DataFrame:
    """Adds the column `place`: x shifted a little, differently for each line."""
    side = {name: (i - (len(lines) - 1) / 2) * DODGE for i, name in enumerate(lines)}
    shift = pl.col("line").replace_strict(side, return_dtype=pl.Float64)
    place = pl.col("x") * (high / low) ** shift if log else pl.col("x") + shift * (high - low)
    return rows.with_columns(place=place)


GAP = 0.045
"""Minimum distance of two names, as a share of the height."""


def line_ends(
    measured: pl.DataFrame, papers: pl.DataFrame, top: float, own: float, far: float
) -> pl.DataFrame:
    """line, paper (bool), place, label_y: position of each line's name, at the height of its last point.

    `measured` and `papers` have x, line, mean; our names are at `own` on the axis, the papers' at `far`.
    """
    both = [
        rows.select(
            pl.col("x").cast(pl.Float64), "line", "mean", paper=pl.lit(paper), place=pl.lit(place, pl.Float64)
        )
        for rows, paper, place in ((measured, False, own), (papers, True, far))
    ]
    ends = pl.concat(both).sort("x").group_by("line", "paper", maintain_order=True).last().sort("mean")
    heights = spread_labels(ends["mean"].to_list(), GAP * top, top)
    return ends.select("line", "paper", "place", label_y=pl.Series(heights, dtype=pl.Float64))


def spread_labels(values: Sequence[float], gap: float, top: float) -> list[float]:
    """Ascending `values`, shifted as little as needed for a `gap` between neighbours, within 0 to `top`."""
    placed: list[
        list[float]
    ] = []  # runs of touching names: [sum of their preferred centres, number of names]
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
