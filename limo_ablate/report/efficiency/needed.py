"""Number of examples that each line needs to reach the others' accuracy, from the fitted curves."""

from __future__ import annotations

from dataclasses import dataclass

import altair as alt
import polars as pl

from limo_ablate.analysis.curves import Curve
from limo_ablate.analysis.power import ALPHA
from limo_ablate.report.declared.sizes import domain, size_axis
from limo_ablate.report.efficiency.bounded import BoundedEstimate, estimate_marks, number
from limo_ablate.report.figure_data import FigureData, Fits
from limo_ablate.report.labels import axis, percent
from limo_ablate.report.section import Chart, Table, slug

FLAT = 0.01
"""A curve that rises by less than this, and does not fall, is flat: no sizes are read from it."""
SHARES = (0.95, 0.8, 0.5)
"""Targets of a figure with one line, as shares of its accuracy at the largest size."""
ROW, LEAST = 18, 70
"""Height in pixels of each mark, and at least of the plot."""


def flat(curve: Curve) -> bool:
    return float(curve.fitted[-1] - curve.fitted[0]) < FLAT and curve.decline.p >= ALPHA


@dataclass(frozen=True, slots=True)
class Target:
    accuracy: float
    label: str
    line: str
    """The line whose accuracy at the largest size, or a share of it, is the target."""


def targets(data: FigureData, fits: Fits) -> list[Target]:
    """Accuracies of the lines at the largest size, highest first, for lines that rise and exceed the
    untrained base, at least a point apart; for a figure with one line, `SHARES` of its accuracy."""
    base = max(data.base["mean"].to_list(), default=0.0)
    largest, single = number(fits.sizes[-1]), len(fits.curves) == 1
    goals = [
        Target(
            share * float(curve.fitted[-1]),
            f"{line} at {largest}" if share == 1 else f"{100 * share:.0f} % of {line} at {largest}",
            line,
        )
        for line, curve in fits.ranked()
        if not flat(curve)
        for share in (SHARES if single else (1.0,))
    ]
    kept: list[Target] = []
    for goal in goals:
        if goal.accuracy > base and all(abs(goal.accuracy - other.accuracy) > FLAT for other in kept):
            kept.append(goal)
    return kept


def needed_chart(data: FigureData, fits: Fits) -> Chart | None:
    """A mark for each target and each line that reaches it; None if all lines are flat."""
    goals, amount = targets(data, fits), axis(data.figure.x)
    if not goals:
        return None
    low, high = fits.sizes[0], fits.sizes[-1]
    needs = [
        (
            goal,
            {
                line: BoundedEstimate(*curve.needed(goal.accuracy), low, high)
                for line, curve in fits.curves.items()
            },
        )
        for goal in goals
    ]
    rows = [
        [goal.label, percent(goal.accuracy), *(need.text() for need in lines.values())]
        for goal, lines in needs
    ]
    notes = [
        f"Number of {amount} that each line needs for the {data.word}; 95 % intervals end at measured sizes."
    ]
    return Chart(
        slug(f"{data.figure.title} needed"),
        f"{data.figure.title}: examples needed",
        " ".join(_finding(goal, lines) for goal, lines in needs),
        f"Targets: each line's {data.word} at {number(high)}. Bars: 95 % intervals. A triangle at "
        f"{number(low)}: {number(low)} or fewer. Lines that do not reach a target by {number(high)} have no "
        "mark.",
        _chart(data, fits, needs).to_dict(),
        Table(["target", data.word, *fits.curves], rows, 1, notes),
    )


def _finding(goal: Target, lines: dict[str, BoundedEstimate]) -> str:
    """Which other lines reach the target, and with how many; for a share of a line, with how many it does."""
    share = len(lines) == 1
    reached = [
        f"{line} {need.text()}"
        for line, need in lines.items()
        if need.value <= need.most and (share or line != goal.line)
    ]
    text = ", ".join(reached) or "no other line reaches it"
    return f"{percent(goal.accuracy)} % ({goal.label}): {text}."


def _chart(
    data: FigureData, fits: Fits, needs: list[tuple[Target, dict[str, BoundedEstimate]]]
) -> alt.LayerChart | alt.FacetChart:
    rows = [
        {"target": f"{percent(goal.accuracy)} %, {goal.label}", "line": line} | need.row()
        for goal, lines in needs
        for line, need in lines.items()
        if need.value <= fits.sizes[-1]
    ]
    targets = list(dict.fromkeys(row["target"] for row in rows))
    shown = [line for line in fits.curves if any(row["line"] == line for row in rows)]
    log = data.scale == "log"
    low, value = (
        size_axis(data.figure.x, fits.sizes, *domain(fits.sizes, log), log, field)
        for field in ("low", "value")
    )
    legend = alt.Legend(title=axis(data.figure.line), values=shown)
    # two lines of text, so that the names leave room for the marks
    names = alt.Axis(labelExpr="split(datum.label, ', ')", labelLimit=130, grid=True, tickBand="extent")
    chart = alt.Chart(pl.DataFrame(rows)).encode(
        y=alt.Y("target:N", sort=targets, title=None, axis=names),
        yOffset=alt.YOffset("line:N", sort=shown, scale=alt.Scale(domain=shown)),
        color=alt.Color("line:N", scale=alt.Scale(domain=data.lines), legend=legend),
    )
    tips = [alt.Tooltip("target:N"), alt.Tooltip("line:N", title=axis(data.figure.line))]
    height = max(LEAST, ROW * len(targets) * max(2, len(shown)))
    return alt.layer(*estimate_marks(chart, "x", low, value, tips)).properties(height=height)
