"""Gain in accuracy from more examples, along the fitted curves."""

from __future__ import annotations

import altair as alt
import polars as pl

from limo_ablate.report.declared.sizes import dodged, domain, size_axis
from limo_ablate.report.efficiency.bounded import number
from limo_ablate.report.efficiency.needed import flat
from limo_ablate.report.figure_data import FigureData, Fits
from limo_ablate.report.labels import POINTS, axis
from limo_ablate.report.section import Chart, Table, slug

STEP = 100
"""Number of additional examples whose gain is shown if no size is smaller; else the gain of doubling."""
HEIGHT = 240
"""Pixels of the plot."""


def steps(sizes: list[float]) -> list[tuple[float, float]]:
    """(from, how many more), all within the sizes: `STEP` more from each, or doublings of the smallest."""
    if sizes[0] >= STEP:
        return [(size, STEP) for size in sizes if size + STEP <= sizes[-1]]
    doubled, start = [], sizes[0]
    while 2 * start <= sizes[-1]:
        doubled.append((start, start))
        start *= 2
    return doubled


def gains_chart(data: FigureData, fits: Fits) -> Chart | None:
    """Gains of each line; None if no step lies within the sizes."""
    intervals = steps(fits.sizes)
    if not intervals or not rising(fits):
        return None
    rows = pl.DataFrame(
        [
            {"x": start, "line": line, "gain": gain, "low": low, "high": high, "text": _text(gain, low, high)}
            for line, curve in fits.curves.items()
            for start, more in intervals
            for gain, low, high in [curve.gain(start, more)]
        ]
    )
    change = f"{STEP} more" if fits.sizes[0] >= STEP else "twice as many"
    last = intervals[-1][0]
    ranked = rows.filter(pl.col("x") == last).sort("gain", descending=True, maintain_order=True)
    shown = ranked.filter(pl.col("line").is_in(rising(fits)))
    gains = [f"{line} {text}" for line, text in shown.select("line", "text").iter_rows()]
    return Chart(
        slug(f"{data.figure.title} gain"),
        f"{data.figure.title}: gain from more examples",
        f"Gain from {change} at {number(last)}, in points: {', '.join(gains)}.",
        f"Gain in accuracy along the fitted curve, in points. Bars: 95 % intervals.{_left(fits)}",
        _chart(
            data, rows.filter(pl.col("line").is_in(rising(fits))), f"gain from {change} (points)"
        ).to_dict(),
        Table(
            [axis(data.figure.line), *(f"from {number(start)}" for start, _ in intervals)],
            [[line, *rows.filter(pl.col("line") == line)["text"]] for line in fits.curves],
            1,
            [f"Gain in accuracy from {change}, in points, with 95 % intervals."],
        ),
    )


def _chart(data: FigureData, rows: pl.DataFrame, title: str) -> alt.LayerChart | alt.FacetChart:
    log = data.scale == "log"
    low, high = domain(rows["x"].to_list(), log)
    lines = alt.Scale(domain=data.lines)
    legend = alt.Legend(
        title=axis(data.figure.line), values=list(dict.fromkeys(rows["line"])), symbolOpacity=1
    )
    base = alt.Chart(dodged(rows, data.lines, low, high, log)).encode(
        x=size_axis(data.figure.x, rows["x"].to_list(), low, high, log),
        color=alt.Color("line:N", scale=lines, legend=legend),
    )
    y = alt.Y("gain:Q", title=title, axis=alt.Axis(labelExpr=POINTS, tickCount=5))
    tips = [
        alt.Tooltip("line:N", title=axis(data.figure.line)),
        alt.Tooltip("x:Q", title="from"),
        alt.Tooltip("text:N", title="points"),
    ]
    point = base.mark_point(filled=True, size=60, opacity=1)
    zero = alt.Chart(pl.DataFrame({"zero": [0]})).mark_rule(strokeDash=[4, 3]).encode(y="zero:Q")
    return alt.layer(
        zero,
        base.mark_rule(strokeWidth=1.5).encode(y="low:Q", y2="high:Q"),
        base.mark_line(strokeWidth=1.2, opacity=0.5).encode(y=y),
        point.encode(y=y, shape=alt.Shape("line:N", scale=lines, legend=legend), tooltip=tips),
    ).properties(height=HEIGHT)


def rising(fits: Fits) -> list[str]:
    """Lines that are drawn: the others are flat."""
    return [line for line, curve in fits.curves.items() if not flat(curve)]


def _left(fits: Fits) -> str:
    left = [line for line in fits.curves if line not in rising(fits)]
    return f" Not drawn, as flat: {', '.join(left)}." if left else ""


def _text(gain: float, low: float, high: float) -> str:
    return f"{100 * gain:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
