"""The chart of a declared figure: over an amount (`sizes.py`), or points for each category."""

from __future__ import annotations

from typing import Any

import altair as alt

from limo_ablate.report.declared.literature import overlay_note, published
from limo_ablate.report.declared.marks import (
    HEIGHT,
    accuracy_axis,
    ceiling,
    colour,
    paper_marks,
    points,
    tooltip,
)
from limo_ablate.report.declared.sizes import BANDS, sizes_chart
from limo_ablate.report.figure_data import FigureData
from limo_ablate.report.labels import axis, level
from limo_ablate.study.contrast import SIZE


def efficiency_chart(data: FigureData) -> alt.LayerChart | alt.FacetChart:
    """The chart of a declared figure: mean accuracies with bars of ± 1 standard error."""
    return _categories(data) if data.scale == "category" else sizes_chart(data)


def note(data: FigureData) -> str:
    """Caption: what error bars, bands and dashed lines are."""
    seeds = sorted(set(data.points["seeds"]))
    count = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
    name = data.over + "s" * (seeds[-1] > 1)
    beside = ", seeds" if data.with_seeds else ""
    over = f"{name}{beside} and problems" if seeds[-1] > 1 else "problems"
    zero = "before fine-tuning" if data.figure.x == SIZE else f"{axis(data.figure.x)} 0"
    dashed = "" if data.base.is_empty() else f" Dashed: {zero}."
    bars = f"Mean of {count} {name}, bars ± 1 standard error over {over}."
    return bars + _fitted(data) + dashed + overlay_note(data)


def _fitted(data: FigureData) -> str:
    if not data.fits:
        return ""
    left = [line for line in data.lines if line not in data.fits.curves]
    straight = f"; {', '.join(left)}: points joined, not all sizes have been run" if left else ""
    shaded = ", shaded: simultaneous 95 % band" if len(data.fits.curves) <= BANDS else ""
    left_out = sorted({x for x in data.curve["x"] if float(x) not in data.fits.sizes})
    without = f"; size {', '.join(map(level, left_out))} left out, not all lines have it" if left_out else ""
    return f" Lines: fitted curves{shaded}{straight}{without}."


def _categories(data: FigureData) -> alt.LayerChart | alt.FacetChart:
    rows, papers, several = points(data), published(data), len(data.lines) > 1
    x = alt.X(
        "x:N",
        title=axis(data.figure.x),
        sort=[level(value) for value in data.levels],
        axis=alt.Axis(labelAngle=0, labelLimit=140),
        scale=alt.Scale(paddingInner=0.4, paddingOuter=0.3),
    )
    beside = [*data.lines, *dict.fromkeys(papers["line"])]
    offset = alt.XOffset("line:N", sort=beside, scale=alt.Scale(paddingOuter=0.5, domain=beside))
    base = alt.Chart(rows).encode(x=x, xOffset=offset, color=colour(data, several))
    y = accuracy_axis(ceiling(*rows["top"], *papers["mean"]), data.figure.score, data.word)
    shape = alt.Shape(
        "line:N",
        scale=alt.Scale(domain=data.lines),
        legend=alt.Legend(title=axis(data.figure.line)) if several else None,
    )
    layers: list[Any] = [
        base.mark_rule(strokeWidth=2).encode(y="bottom:Q", y2="top:Q"),
        base.mark_point(filled=True, size=110, opacity=1).encode(y=y, shape=shape, tooltip=tooltip(data)),
    ]
    if not several:
        value = alt.Text("mean:Q", format=".1%")
        above = base.mark_text(baseline="bottom", dy=-5, fontWeight=600)  # beside, phones cut the last
        layers.append(above.encode(y="top:Q", text=value))
    if not papers.is_empty():
        marks = alt.Chart(papers).encode(x=x, xOffset=offset, y=y)
        layers += [
            paper_marks(marks),
            marks.mark_text(dy=-13, fontSize=10, style="muted").encode(text="line:N"),
        ]
    return alt.layer(*layers).properties(height=HEIGHT)
