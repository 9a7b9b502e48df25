"""Estimates that may lie outside the range that was run: there they are shown as bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import altair as alt

KINDS = ["measured", "at most", "at least"]


@dataclass(frozen=True, slots=True)
class BoundedEstimate:
    """A positive estimate with its interval; below `least` or above `most`, only the bound is known."""

    value: float
    low: float
    high: float
    least: float
    most: float
    signs: tuple[str, str] = ("≤", ">")
    """Signs before `least` and `most`."""

    def text(self) -> str:
        """`124 [84, 233]`, `> 256`, `15 [≤ 4, 31]`."""
        ends = [self._end_text(end) for end in (self.low, self.high)]
        value = self._end_text(self.value)
        return value if ends == [value, value] else f"{value} [{', '.join(ends)}]"

    def row(self) -> dict[str, Any]:
        """Row for `estimate_marks`: value, low, high, kind, text."""
        ends = (self.low, self.value, self.high)
        low, value, high = (min(max(end, self.least), self.most) for end in ends)
        kind = KINDS[1] if self.value < self.least else KINDS[2] if self.value > self.most else KINDS[0]
        return {"value": value, "low": low, "high": high, "kind": kind, "text": self.text()}

    def _end_text(self, end: float) -> str:
        if end < self.least:
            return f"{self.signs[0]} {number(self.least)}"
        return f"{self.signs[1]} {number(self.most)}" if end > self.most else number(end)


def number(value: float) -> str:
    """Two digits, or all digits of the integer part: `0.25`, `7.5`, `124`."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def estimate_marks(
    chart: alt.Chart, along: str, low: Any, value: Any, tips: list[alt.Tooltip]
) -> list[alt.Chart]:
    """Error bars and points for rows of `BoundedEstimate.row()`; `low` and `value` are channels `along` x or
    y.

    A bound is drawn as a triangle that points to where the estimate lies.
    """
    shapes = {
        "x": ["circle", "triangle-left", "triangle-right"],
        "y": ["circle", "triangle-down", "triangle-up"],
    }
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=KINDS, range=shapes[along]), legend=None)
    bars = chart.mark_rule(strokeWidth=1.5).encode(**{along: low, f"{along}2": "high:Q"})
    point = chart.mark_point(filled=True, size=75, opacity=1)
    shown = [*tips, alt.Tooltip("text:N", title="with 95 % interval")]
    return [bars, point.encode(**{along: value}, shape=shape, tooltip=shown)]
