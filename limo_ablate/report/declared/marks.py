"""Shared by all charts of accuracy: points with error bars, accuracy axis, colours, tooltips."""

from __future__ import annotations

import altair as alt
import polars as pl

from limo_ablate.report.figure_data import FigureData
from limo_ablate.report.labels import axis, percent, score_title

HEIGHT = 340
"""Height of the plot in pixels."""
STEPS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Possible upper ends of the accuracy axis."""


def points(data: FigureData) -> pl.DataFrame:
    """The points with the ends of their error bars and the text of their tooltips."""
    error = pl.col("stderr").fill_null(0.0)
    rows = data.points.with_columns(
        bottom=(pl.col("mean") - error).clip(0.0, 1.0), top=(pl.col("mean") + error).clip(0.0, 1.0)
    )
    shown = [
        f"{percent(mean)} % (95 % interval {percent(low)} to {percent(high)}, n = {seeds})"
        for mean, low, high, seeds in rows.select("mean", "low", "high", "seeds").iter_rows()
    ]
    return rows.select("x", "line", "mean", "bottom", "top").with_columns(pl.Series("accuracy", shown))


def ceiling(*tops: float) -> float:
    """Upper end of the accuracy axis: the first step above all bars."""
    return next(step for step in STEPS if max(tops) * 1.02 <= step or step == 1.0)


def accuracy_axis(top: float, score: str, word: str, field: str = "mean") -> alt.Y:
    scale = alt.Scale(domain=[0, top], clamp=True)
    return alt.Y(
        f"{field}:Q", title=score_title(score, word), scale=scale, axis=alt.Axis(format=".0%", tickCount=5)
    )


def colour(data: FigureData, legend: bool) -> alt.Color:
    shown = alt.Legend(title=axis(data.figure.line)) if legend else None
    return alt.Color("line:N", scale=alt.Scale(domain=data.lines), legend=shown)


def tooltip(data: FigureData) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("line:N", title=axis(data.figure.line)),
        alt.Tooltip("x", title=axis(data.figure.x)),
        alt.Tooltip("accuracy:N", title=data.word),
    ]


def paper_marks(chart: alt.Chart) -> alt.Chart:
    """Hollow grey marks of published points (columns mean, source)."""
    tips = [alt.Tooltip("source:N", title="published"), alt.Tooltip("mean:Q", title="accuracy", format=".1%")]
    marked: alt.Chart = chart.mark_point(
        filled=False, shape="diamond", size=90, strokeWidth=1.6, opacity=1, style="published"
    ).encode(tooltip=tips)
    return marked
