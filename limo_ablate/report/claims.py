"""The contrasts that a study was made for: a forest plot, a table, each in a sentence; its registration.

Holm's adjustment is over the registered primary contrasts, those dropped since included; what is primary but
was not registered shares alpha among itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from limo_ablate.analysis.contrasts import contrasts
from limo_ablate.analysis.register.claim_status import NOT_REGISTERED, ClaimStatus, claim_statuses
from limo_ablate.analysis.register.current_trials import current_trials
from limo_ablate.analysis.register.deviations import deviations
from limo_ablate.analysis.register.registration import Chain, read
from limo_ablate.report.labels import POINTS, percent
from limo_ablate.report.section import Chart, Section, Table
from limo_ablate.report.study_view import StudyView

ROW = 44
"""Pixels of the plot for each contrast."""
HEADER = [
    "contrast", "score", "claim", "verdict", "effect", "95 % interval", "p", "p adjusted", "p equivalent",
    "bootstrap", "p by sign flips", "p McNemar", "problems × samples × seeds",
]  # fmt: skip
WORDS = 4
KINDS = ["confirmatory", "exploratory"]
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
    """As `effects.contrasts` gives them, and kind (of KINDS), why (of an exploratory one), dropped."""
    findings: list[tuple[str, str]]
    """(contrast, what came out)."""
    section: Section
    """Forest plot (where there are results) and table; the registration, or how to make one."""
    deviations: list[str]
    """What differs from the registration."""
    warning: str | None
    """Why the registration can't be trusted."""


def claims(view: StudyView) -> Claims | None:
    """None for a study that declares no contrasts, or has no finished trial."""
    chain = read(view.folder)
    if not (view.study.contrasts or (chain and chain.last.contrasts)) or not view.done:
        return None
    cells = current_trials(view.folder, view.trials)
    rows = _rows(view, claim_statuses(view.study, chain, cells))
    results = rows.filter(pl.col("effect").is_not_null())
    table = Table(HEADER, [_row(row) for row in rows.iter_rows(named=True)], WORDS, NOTES)
    note = "95 % intervals over seeds and problems; left of 0 the first level is better."
    picture = Chart(
        "contrasts", "Contrasts", "", note, None if results.is_empty() else forest(results).to_dict(), table
    )
    return Claims(
        rows,
        [(_name(row), finding(row)) for row in rows.iter_rows(named=True)],
        Section("claims", "What the study was made for", text=(_registered(chain),), charts=(picture,)),
        deviations(view.study, chain, cells) if chain else [],
        chain.broken if chain else None,
    )


def _rows(view: StudyView, found: Sequence[ClaimStatus]) -> pl.DataFrame:
    """The contrasts of `found`, in their order; registered ones and others are two families."""
    axes = {block.name: list(block.factors()) for block in view.study.blocks}
    axes |= {s.contrast.block: [s.contrast.factor] for s in found if s.contrast.block not in axes}
    parts = [
        contrasts([s.contrast for s in own], axes, view.counted, view.answers).with_columns(
            place=pl.Series([found.index(s) for s in own], dtype=pl.Int64),
            kind=pl.Series([s.kind for s in own], dtype=pl.String),
            why=pl.Series([s.why for s in own], dtype=pl.String),
            dropped=pl.Series([s.dropped for s in own], dtype=pl.Boolean),
        )
        for own in ([s for s in found if s.family], [s for s in found if not s.family])
    ]
    return pl.concat(parts).sort("place").drop("place")


def _registered(chain: Chain | None) -> str:
    if chain is None:
        return (
            "Not registered, so all of this is exploratory. A study is registered before its first trial "
            "runs, by limo-ablate freeze NAME."
        )
    last = chain.last
    count = f"{len(last.primary)} primary contrast{'s' * (len(last.primary) != 1)}"
    time = last.time.replace("T", " ").replace("+00:00", " UTC")
    code = f", commit {last.git['commit'][:12]}" if last.git["commit"] else ""
    changed = " with uncommitted changes" if last.git["dirty"] else ""
    return (
        f"Registered {time} as {last.hash[:12]}{code}{changed}: "
        f"{len(last.cells)} cells, {count}, alpha {last.alpha:g}. "
        "Confirmatory is what was registered as primary before a trial of its block had finished, and is "
        "unchanged with all its cells."
    )


def finding(row: dict[str, Any]) -> str:
    """`+12.3 points [8.1, 16.5]: different (confirmatory)`; why not, where there is no result."""
    if row["effect"] is None:
        return f"no result: {row['note']}"
    effect = f"{_points(row['effect'])} points {_interval(row, 'low', 'high')}: {row['verdict']}"
    return effect if row["why"] == NOT_REGISTERED else f"{effect} ({_claim(row)})"


def _claim(row: dict[str, Any]) -> str:
    """`confirmatory`; `exploratory: ` and why."""
    return row["kind"] if row["why"] is None else f"{row['kind']}: {row['why']}"


def _name(row: dict[str, Any]) -> str:
    secondary = "" if row["primary"] else " (secondary)"
    return f"{row['contrast']}{secondary}" + (" (dropped since)" if row["dropped"] else "")


def forest(rows: pl.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """Effects with their intervals, one below the other, and a line at 0."""
    shown = rows.select(
        "effect", "low", "high", "verdict", "kind",
        contrast=pl.Series([_name(row) for row in rows.iter_rows(named=True)]),
        interval=pl.Series([finding(row) for row in rows.iter_rows(named=True)]),
    )  # fmt: skip
    y = alt.Y("contrast:N", sort=None, title=None, axis=alt.Axis(labelLimit=260, grid=False))
    colour = alt.Color("kind:N", title=None, scale=alt.Scale(domain=KINDS))
    shape = alt.Shape("kind:N", title=None, scale=alt.Scale(domain=KINDS, range=["circle", "diamond"]))
    base = alt.Chart(shown)
    ticks = alt.Axis(labelExpr=POINTS, grid=True, tickCount=6)
    x = alt.X("low:Q", title="difference of accuracy (points)", axis=ticks)
    bars = base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q", y=y, color=colour)
    tips = [alt.Tooltip("contrast:N"), alt.Tooltip("interval:N", title="effect")]
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        x="effect:Q", y=y, color=colour, shape=shape, tooltip=tips
    )
    zero = alt.Chart(pl.DataFrame({"zero": [0]})).mark_rule(strokeDash=[4, 3]).encode(x="zero:Q")
    return alt.layer(zero, bars, points).properties(height=max(2, len(shown)) * ROW)


def _row(row: dict[str, Any]) -> list[str]:
    said = _name(row)
    if row["effect"] is None:
        return [said, row["score"], _claim(row), f"no result: {row['note']}", *["–"] * (len(HEADER) - WORDS)]
    return [
        said,
        row["score"],
        _claim(row),
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
