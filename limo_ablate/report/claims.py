"""The contrasts that a study was made for: a forest plot, a table, and each in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from limo_ablate.effects.contrasts import contrasts
from limo_ablate.report.load import StudyView
from limo_ablate.report.names import percent
from limo_ablate.report.section import Drawn, Section, Table

ROW = 44
"""Pixels of the plot for each contrast."""
HEADER = [
    "contrast", "score", "verdict", "effect", "95 % interval", "p", "p adjusted", "p equivalent",
    "bootstrap", "p by sign flips", "p McNemar", "problems × samples × seeds",
]  # fmt: skip
WORDS = 3
NOTES = [
    "Effect: points of accuracy at the second level minus the first, the same problems and seeds in both, "
    "all else equal. Interval and p: other seeds and other problems of the same kind; p adjusted by Holm "
    "over the primary contrasts. p equivalent: that the difference is the margin or more.",
    "Bootstrap: seeds and problems drawn anew, too narrow for few seeds. Sign flips and McNemar ask about "
    "other problems only, with the trainings as they are.",
]


@dataclass(frozen=True, slots=True)
class Claims:
    rows: pl.DataFrame
    """As `effects.contrasts` gives them."""
    findings: list[tuple[str, str]]
    """(contrast, what came out)."""
    section: Section
    """Forest plot (where there are results) and table."""


def claims(view: StudyView) -> Claims | None:
    """None for a study that declares no contrasts, or has no finished trial."""
    if not view.study.contrasts or not view.done:
        return None
    axes = {block.name: list(block.factors()) for block in view.study.blocks}
    rows = contrasts(view.study.contrasts, axes, view.counted, view.answers)
    results = rows.filter(pl.col("effect").is_not_null())
    table = Table(HEADER, [_row(row) for row in rows.iter_rows(named=True)], WORDS, NOTES)
    note = "95 % intervals over seeds and problems; left of 0 the first level is better."
    picture = Drawn(
        "contrasts", "Contrasts", "", note, None if results.is_empty() else forest(results).to_dict(), table
    )
    return Claims(
        rows,
        [(row["contrast"], finding(row)) for row in rows.iter_rows(named=True)],
        Section("claims", "What the study was made for", drawn=(picture,)),
    )


def finding(row: dict[str, Any]) -> str:
    """`+12.3 points [8.1, 16.5], different`; why not, where there is no result."""
    if row["effect"] is None:
        return f"no result: {row['note']}"
    kind = "" if row["primary"] else ", secondary"
    return f"{_points(row['effect'])} points {_interval(row, 'low', 'high')}: {row['verdict']}{kind}"


def forest(rows: pl.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """Effects with their intervals, one below the other, and a line at 0."""
    kinds = pl.when(pl.col("primary")).then(pl.lit("primary")).otherwise(pl.lit("secondary"))
    shown = rows.select(
        "contrast", "effect", "low", "high", "verdict", kind=kinds,
        interval=pl.Series([finding(row) for row in rows.iter_rows(named=True)]),
    )  # fmt: skip
    y = alt.Y("contrast:N", sort=None, title=None, axis=alt.Axis(labelLimit=260, grid=False))
    colour = alt.Color("kind:N", title=None, sort=["primary", "secondary"])
    base = alt.Chart(shown)
    ticks = alt.Axis(format="+.0%", grid=True, tickCount=6)
    x = alt.X("low:Q", title="difference of accuracy", axis=ticks)
    bars = base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q", y=y, color=colour)
    tips = [alt.Tooltip("contrast:N"), alt.Tooltip("interval:N", title="effect")]
    points = base.mark_point(filled=True, size=80, opacity=1).encode(
        x="effect:Q", y=y, color=colour, tooltip=tips
    )
    zero = alt.Chart(pl.DataFrame({"zero": [0]})).mark_rule(strokeDash=[4, 3]).encode(x="zero:Q")
    return alt.layer(zero, bars, points).properties(height=max(2, len(shown)) * ROW)


def _row(row: dict[str, Any]) -> list[str]:
    said = f"{row['contrast']}" + ("" if row["primary"] else " (secondary)")
    if row["effect"] is None:
        return [said, row["score"], f"no result: {row['note']}", *["–"] * (len(HEADER) - WORDS)]
    return [
        said,
        row["score"],
        row["verdict"],
        _points(row["effect"]),
        _interval(row, "low", "high"),
        *(_p(row[name]) for name in ("p", "p_adj", "p_equivalent")),
        _interval(row, "low_boot", "high_boot"),
        *(_p(row[name]) for name in ("p_flips", "p_mcnemar")),
        f"{row['problems']} × {row['samples']} × {row['seeds']}",
    ]


def _points(share: float) -> str:
    return f"{'+' if share > 0 else ''}{percent(share)}"


def _interval(row: dict[str, Any], low: str, high: str) -> str:
    return f"[{_points(row[low])}, {_points(row[high])}]"


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
