"""Gain in accuracy from each size to the next, and whether accuracy falls towards the largest."""

from __future__ import annotations

from itertools import pairwise

import altair as alt
import polars as pl

from limo_ablate.analysis.adjust import holm
from limo_ablate.analysis.curves import Curve, Decline
from limo_ablate.analysis.power import ALPHA
from limo_ablate.report.declared.sizes import dodged, domain, size_axis
from limo_ablate.report.efficiency.bounded import number
from limo_ablate.report.efficiency.needed import flat
from limo_ablate.report.figure_data import FigureData, Fits
from limo_ablate.report.labels import POINTS, axis
from limo_ablate.report.section import Chart, Table, slug

HEIGHT = 240
"""Pixels of the plot."""


def gains_chart(data: FigureData, fits: Fits) -> Chart | None:
    """Gains of each line from each size to the next; None if all lines are flat."""
    if not rising(fits):
        return None
    steps = list(pairwise(map(number, fits.sizes)))
    rows = pl.DataFrame(
        [
            {"x": size, "line": line, "gain": gain, "low": low, "high": high, "text": _text(gain, low, high)}
            for line, curve in fits.curves.items()
            for size, (gain, low, high) in zip(fits.sizes[1:], curve.gains, strict=True)
        ]
    )
    shown = rows.filter(pl.col("line").is_in(rising(fits)))
    ranked = shown.filter(pl.col("x") == fits.sizes[-1]).sort("gain", descending=True, maintain_order=True)
    gains = [f"{line} {text}" for line, text in ranked.select("line", "text").iter_rows()]
    adjusted = decline_p(fits)
    header = [axis(data.figure.line), *(f"{start} to {end}" for start, end in steps)]
    return Chart(
        slug(f"{data.figure.title} gain"),
        f"{data.figure.title}: gain from more examples",
        f"From {steps[-1][0]} to {steps[-1][1]}, in points: {', '.join(gains)}. {declines(fits)}",
        f"{data.word.capitalize()} at a size minus that at the size before, paired on problems and "
        f"trainings, in points. Bars: 95 % intervals.{_left(fits)}",
        _chart(data, shown, "gain over the size before (points)").to_dict(),
        Table(
            [*header, "best before the largest", "loss to the largest", "adjusted p of a decline"],
            [
                [line, *rows.filter(pl.col("line") == line)["text"], *_decline(curve.decline, adjusted[line])]
                for line, curve in fits.curves.items()
            ],
            1,
            [
                "Gains in points, with 95 % intervals. Decline: Dunnett's one-sided test of the largest size "
                "against all smaller ones, with all problems and trainings random, adjusted by Holm over the "
                "lines; a negative loss is a gain."
            ],
        ),
    )


def _decline(found: Decline, p: float) -> list[str]:
    text = "< 0.001" if p < 0.001 else f"{p:.3f}"
    return [number(found.best), f"{100 * found.loss:+.1f}", text]


def decline_p(fits: Fits) -> dict[str, float]:
    """p-values of the test of a decline, adjusted by Holm: of several flat lines, one may fall by chance."""
    return dict(zip(fits.curves, holm([curve.decline.p for curve in fits.curves.values()]), strict=True))


def falling(fits: Fits) -> dict[str, Curve]:
    """The lines that lose accuracy towards the largest size, by the test of a decline."""
    adjusted = decline_p(fits)
    return {line: curve for line, curve in fits.curves.items() if adjusted[line] < ALPHA}


def declines(fits: Fits) -> str:
    """What the tests of a decline say, in a sentence."""
    adjusted = decline_p(fits)
    fallen = [
        f"{line} loses {100 * curve.decline.loss:.1f} points from {number(curve.decline.best)} to "
        f"{number(fits.sizes[-1])} (adjusted p {_decline(curve.decline, adjusted[line])[2]})"
        for line, curve in falling(fits).items()
    ]
    return f"Declines: {'; '.join(fallen)}." if fallen else "No line falls significantly."


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
        alt.Tooltip("x:Q", title="to"),
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
