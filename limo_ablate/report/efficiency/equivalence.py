"""Data equivalence: how many times as many examples one line needs as its neighbour for equal accuracy."""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import polars as pl

from limo_ablate.analysis.curves import data_equivalence
from limo_ablate.report.declared.sizes import dodged, domain, size_axis
from limo_ablate.report.efficiency.bounded import BoundedEstimate, estimate_marks, number
from limo_ablate.report.efficiency.needed import flat
from limo_ablate.report.figure_data import FigureData, Fits
from limo_ablate.report.labels import axis
from limo_ablate.report.section import Chart, Table, slug

HEIGHT = 240
"""Pixels of the plot."""
NOTE = (
    "A for B: how many times as many examples B needs as A for B's {} at this size; above 1, A's are "
    "worth more. Bars: 95 % intervals. A triangle is a bound: A's size is below (up) or above (down) those "
    "run."
)


def equivalence_chart(data: FigureData, fits: Fits) -> Chart | None:
    """For each pair of adjacent lines whose lower line rises; None if there are none."""
    pairs = [pair for pair in fits.neighbours() if not flat(fits.curves[pair[1]])]
    if not pairs:
        return None
    ratios_of = {pair: _ratios(fits, *pair) for pair in pairs}
    largest, amount = number(fits.sizes[-1]), axis(data.figure.x)
    sentences = [
        f"{other} needs {ratios[-1].text()} times as many as {better}"
        for (better, other), ratios in ratios_of.items()
    ]
    table = Table(
        ["better", "other", *(f"{data.word} of other at {number(size)}" for size in fits.sizes)],
        [[*pair, *(ratio.text() for ratio in ratios)] for pair, ratios in ratios_of.items()],
        2,
        [f"How many times as many {amount} the other line needs for its own {data.word}; 95 % intervals."],
    )
    return Chart(
        slug(f"{data.figure.title} equivalence"),
        f"{data.figure.title}: equivalence",
        f"For the {data.word} at {largest}, by the fitted curves: {'; '.join(sentences)}.",
        NOTE.format(data.word),
        _chart(data, fits, ratios_of).to_dict(),
        table,
    )


def _ratios(fits: Fits, better: str, other: str) -> list[BoundedEstimate]:
    """Ratios at each of the sizes."""
    low, high = fits.sizes[0], fits.sizes[-1]
    return [
        BoundedEstimate(ratio, least, most, size / high, size / low, ("<", "≥"))
        for size, ratio, least, most in data_equivalence(fits.curves[better], fits.curves[other])
    ]


def _chart(
    data: FigureData, fits: Fits, ratios_of: dict[tuple[str, str], list[BoundedEstimate]]
) -> alt.LayerChart | alt.FacetChart:
    names = {pair: f"{pair[0]} for {pair[1]}" for pair in ratios_of}
    rows = [
        {"x": size, "line": names[pair]} | ratio.row()
        for pair, ratios in ratios_of.items()
        for size, ratio in zip(fits.sizes, ratios, strict=True)
    ]
    log, lines = data.scale == "log", list(names.values())
    ends = domain(fits.sizes, log)
    chart = alt.Chart(dodged(pl.DataFrame(rows), lines, *ends, log)).encode(
        x=size_axis(data.figure.x, fits.sizes, *ends, log),
        color=alt.Color("line:N", scale=alt.Scale(domain=lines), legend=alt.Legend(title=None)),
    )
    ticks = alt.Axis(labelExpr="format(datum.value, '~r')", values=_doublings(rows))
    low, value = (
        alt.Y(f"{field}:Q", title="times as many", scale=alt.Scale(type="log", nice=False), axis=ticks)
        for field in ("low", "value")
    )
    tips = [alt.Tooltip("line:N", title="pair"), alt.Tooltip("x:Q", title=axis(data.figure.x))]
    one = alt.Chart(pl.DataFrame({"one": [1]})).mark_rule(strokeDash=[4, 3]).encode(y="one:Q")
    return alt.layer(one, *estimate_marks(chart, "y", low, value, tips)).properties(height=HEIGHT)


def _doublings(rows: list[dict[str, Any]]) -> list[float]:
    """Powers of 2, or of 4, 8, ... if these are many, that span the bars."""
    low = math.floor(math.log2(min(row["low"] for row in rows)))
    high = math.ceil(math.log2(max(row["high"] for row in rows)))
    return [2.0**k for k in range(low, high + 1) if k % (1 + (high - low) // 8) == 0]
