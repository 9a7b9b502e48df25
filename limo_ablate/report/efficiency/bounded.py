"""Estimates that may lie beyond what was run: there they are bounds, in text and as marks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import altair as alt

KINDS = ["measured", "at most", "at least"]


@dataclass(frozen=True, slots=True)
class BoundedEstimate:
    """A number above 0 with its interval; below `least` or above `most` it is only known to be there."""

    value: float
    low: float
    high: float
    least: float
    most: float
    signs: tuple[str, str] = ("≤", ">")
    """Before `least` and `most`."""

    def text(self) -> str:
        """`124 [84, 233]`, `> 256`, `15 [≤ 4, 31]`."""
        ends = [self._said(end) for end in (self.low, self.high)]
        value = self._said(self.value)
        return value if ends == [value, value] else f"{value} [{', '.join(ends)}]"

    def row(self) -> dict[str, Any]:
        """For `marked`: value, low, high, kind, said."""
        ends = (self.low, self.value, self.high)
        low, value, high = (min(max(end, self.least), self.most) for end in ends)
        kind = KINDS[1] if self.value < self.least else KINDS[2] if self.value > self.most else KINDS[0]
        return {"value": value, "low": low, "high": high, "kind": kind, "said": self.text()}

    def _said(self, end: float) -> str:
        if end < self.least:
            return f"{self.signs[0]} {number(self.least)}"
        return f"{self.signs[1]} {number(self.most)}" if end > self.most else number(end)


def number(value: float) -> str:
    """Two digits, or all before the point: `0.25`, `7.5`, `124`."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def estimate_marks(
    chart: alt.Chart, along: str, low: Any, value: Any, tips: list[alt.Tooltip]
) -> list[alt.Chart]:
    """Bars and points of rows of `Bounded.row()`; `low` and `value` are their channels `along` x or y.

    What is only a bound is a triangle that points to where the number lies.
    """
    shapes = {
        "x": ["circle", "triangle-left", "triangle-right"],
        "y": ["circle", "triangle-down", "triangle-up"],
    }
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=KINDS, range=shapes[along]), legend=None)
    bars = chart.mark_rule(strokeWidth=1.5).encode(**{along: low, f"{along}2": "high:Q"})
    point = chart.mark_point(filled=True, size=75, opacity=1)
    shown = [*tips, alt.Tooltip("said:N", title="with 95 % interval")]
    return [bars, point.encode(**{along: value}, shape=shape, tooltip=shown)]
