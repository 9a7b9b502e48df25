"""Effects as dots with intervals, one below the other, each group under its name."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import altair as alt
import polars as pl

from limo_ablate.report.names import POINTS

ROW = 24
"""Pixels of a row: a name, or a dot."""
PALE = 0.35


@dataclass(frozen=True, slots=True)
class Dot:
    """A difference of accuracy."""

    group: str
    """Stands above its dots, within the plot, where there is room for a long name."""
    label: str
    """Beside the axis; empty for a group's only one."""
    effect: float
    low: float
    high: float
    seen: bool
    """Else it is pale."""

    @property
    def points(self) -> str:
        return f"{100 * self.effect:+.1f}"

    @property
    def interval(self) -> str:
        return f"[{100 * self.low:+.1f}, {100 * self.high:+.1f}]"

    def row(self, place: int) -> dict[str, Any]:
        return {
            "place": place, "group": self.group, "label": self.label, "effect": self.effect, "low": self.low,
            "high": self.high, "seen": self.seen, "kind": "effect", "said": f"{self.points} {self.interval}",
        }  # fmt: skip


def dots(found: list[Dot], title: str) -> alt.LayerChart | alt.FacetChart:
    """A chart of them, in their order, with a line at 0."""
    names: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for group, own in groupby(found, key=lambda dot: dot.group):
        names.append({"place": len(names) + len(rows), "group": group})
        for dot in own:
            rows.append(dot.row(len(names) + len(rows)))
    places = len(names) + len(rows)
    y = alt.Y("place:O", axis=None, scale=alt.Scale(domain=list(range(places))))
    pale = alt.when("datum.seen").then(alt.value(1)).otherwise(alt.value(PALE))
    frame = alt.Chart(pl.DataFrame(rows))
    base = frame.encode(y=y, opacity=pale, color=alt.Color("kind:N", legend=None))
    x = alt.X("low:Q", title=title, axis=alt.Axis(labelExpr=POINTS, grid=True, tickCount=6))
    tips = [
        alt.Tooltip("group:N", title="of"),
        alt.Tooltip("label:N", title="level"),
        alt.Tooltip("said:N", title="points"),
    ]
    text = alt.Chart(pl.DataFrame(names)).mark_text(align="left", fontWeight=600, dy=3)
    layers: list[Any] = [
        alt.Chart(pl.DataFrame({"zero": [0]})).mark_rule(strokeDash=[4, 3]).encode(x="zero:Q"),
        base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q"),
        base.mark_point(filled=True, size=80).encode(x="effect:Q", tooltip=tips),
        text.encode(y=y, x=alt.value(4), text="group:N"),
    ]
    if any(dot.label for dot in found):
        label = frame.mark_text(align="right", dx=-8, limit=110)
        layers.append(label.encode(y=y, x=alt.value(0), text="label:N"))
    return alt.layer(*layers).properties(height=places * ROW)
