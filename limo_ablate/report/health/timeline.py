"""Section on the timeline: a bar for each attempt, a lane for each slot, with pauses shortened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import polars as pl

from limo_ablate.report.health.attempts import Attempt, attempts
from limo_ablate.report.labels import duration, percent
from limo_ablate.report.section import Chart, Section, Table
from limo_ablate.report.study_view import StudyView

STATES = ("done", "failed", "pruned", "interrupted", "running")
BARS = 1500
"""Maximum number of bars; of more attempts, those without a result and the longest are drawn."""
PAUSE = 0.05
"""Minimum length of a pause, as a share of the time in which something ran."""
CUT = 0.015
"""Length at which a pause is drawn, as a share of the same time."""
TOUCH = 0.05
"""Seconds by which attempts of one slot may overlap, as the clock is read before the ledger is written."""
LONGEST = 8
UNITS = ((5400.0, 3600.0, "hours"), (90.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
"""(minimum time in seconds, seconds of the unit, its name)."""
ROW, TALLEST = 26, 900
"""Height in pixels of a lane, and at most of the plot."""

Spans = list[tuple[float, float]]
"""(start, end) in seconds."""


def section(view: StudyView) -> Section | None:
    """The timeline of all attempts; None if nothing has run."""
    begun, from_ledger = attempts(view)
    if not begun:
        return None
    lanes, (worked, pauses) = assign_lanes(begun), pauses_of(begun)
    chart = Chart(
        "timeline",
        "Attempts by slot",
        _finding(begun, lanes, worked, pauses),
        _note(begun, pauses, from_ledger),
        timeline_chart(begun, lanes, worked, pauses).to_dict(),
        lane_table(begun, lanes, worked),
    )
    return Section("timeline", "Timeline of the sweep", charts=(chart,))


def assign_lanes(begun: Sequence[Attempt]) -> list[str]:
    """The lane of each attempt (earliest first): the first slot of its machine that is free at its start."""
    machines = list(dict.fromkeys(attempt.machine for attempt in begun))
    free: dict[str, list[float]] = {machine: [] for machine in machines}
    lanes = []
    for attempt in begun:
        ends = free[attempt.machine]
        slot = next((i for i, end in enumerate(ends) if end <= attempt.start + TOUCH), len(ends))
        ends[slot : slot + 1] = [attempt.end]
        where = f"machine {machines.index(attempt.machine) + 1}, " if len(machines) > 1 else ""
        lanes.append(f"{where}slot {slot + 1}")
    return lanes


def pauses_of(begun: Sequence[Attempt]) -> tuple[float, Spans]:
    """Seconds in which something ran, and the pauses between them."""
    gaps, worked, end = [], 0.0, begun[0].start
    for attempt in begun:
        if attempt.start > end:
            gaps.append((end, attempt.start))
        worked += max(0.0, attempt.end - max(end, attempt.start))
        end = max(end, attempt.end)
    return worked, [(a, b) for a, b in gaps if b - a > PAUSE * worked]


def timeline_chart(
    begun: Sequence[Attempt], lanes: Sequence[str], worked: float, pauses: Spans
) -> alt.LayerChart | alt.FacetChart:
    """Bars over working time; an attempt without a result has a cross at its end."""
    unit, word = next((seconds, name) for least, seconds, name in UNITS if worked >= least)
    clock = _clock(begun[0].start, pauses, CUT * worked, unit)
    rows = _rows(begun, lanes, clock)
    names = list(dict.fromkeys(sorted(lanes, key=_place)))
    y = alt.Y("lane:N", sort=names, title=None, scale=alt.Scale(paddingInner=0.25, paddingOuter=0.15))
    legend = alt.Legend(title=None, values=[state for state in STATES if state in set(rows["state"])])
    colour = alt.Color("state:N", scale=alt.Scale(domain=list(STATES)), legend=legend)
    shown = ["cell:N", "attempt:Q", "state:N", "took:N", *(["reason:N"] if any(rows["reason"]) else [])]
    title = f"{word} since the start{', pauses cut' * bool(pauses)}"
    bars = alt.Chart(rows).mark_bar(opacity=0.85, cornerRadius=2).encode(
        x=alt.X("from:Q", title=title), x2="to:Q", y=y, color=colour, tooltip=shown,
    )  # fmt: skip
    layers: list[Any] = [bars]
    ended = rows.filter(~pl.col("state").is_in(["done", "running"]))
    if ended.height:
        cross = alt.Chart(ended).mark_text(text="×", fontSize=20, fontWeight="bold", dx=-5)
        layers.append(cross.encode(x="to:Q", y=y, tooltip=shown))
    if pauses:
        places = pl.DataFrame(
            {"at": [clock((a + b) / 2) for a, b in pauses], "pause": [duration(b - a) for a, b in pauses]}
        )
        layers.append(alt.Chart(places).mark_rule(strokeDash=[3, 3]).encode(x="at:Q", tooltip="pause:N"))
    return alt.layer(*layers).properties(height=min(max(2, len(names)) * ROW, TALLEST))


def _rows(begun: Sequence[Attempt], lanes: Sequence[str], clock: Callable[[float], float]) -> pl.DataFrame:
    pairs = sorted(
        zip(begun, lanes, strict=True), key=lambda pair: (pair[0].state == "done", -_took(pair[0]))
    )
    return pl.DataFrame(
        [
            {
                "lane": lane, "state": one.state, "cell": one.cell, "attempt": one.number,
                "from": clock(one.start), "to": clock(one.end), "took": duration(_took(one)),
                "reason": one.reason[:200],
            }
            for one, lane in sorted(pairs[:BARS], key=lambda pair: pair[0].start)
        ]
    )  # fmt: skip


def _clock(start: float, pauses: Spans, cut: float, unit: float) -> Callable[[float], float]:
    """Function from an instant to working time in units."""

    def at(instant: float) -> float:
        over = [(min(b, instant) - a, b - a) for a, b in pauses if instant > a]
        return round((instant - start - sum(gone - cut * gone / whole for gone, whole in over)) / unit, 4)

    return at


def _took(attempt: Attempt) -> float:
    return attempt.end - attempt.start


def _place(lane: str) -> list[int]:
    return [int(word) for word in lane.replace(",", "").split() if word.isdigit()]


def _finding(begun: Sequence[Attempt], lanes: Sequence[str], worked: float, pauses: Spans) -> str:
    counts = Counter(attempt.state for attempt in begun)
    states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    busy = sum(map(_took, begun)) / (worked * len(set(lanes))) if worked else 1.0
    paused = f" and {len(pauses)} pauses" if len(pauses) > 1 else " and a pause" if pauses else ""
    return (
        f"{len(begun)} attempts ({states}) in {duration(worked)} of working time{paused}; "
        f"{_lanes(lanes)} busy {percent(busy, 0)} % of it."
    )


def _lanes(lanes: Sequence[str]) -> str:
    count = len(set(lanes))
    return f"{count} slots were" if count > 1 else "the slot was"


def _note(begun: Sequence[Attempt], pauses: Spans, from_ledger: bool) -> str:
    parts = ["Each bar is an attempt."]
    if any(attempt.state in ("failed", "pruned", "interrupted") for attempt in begun):
        parts.append("A cross marks the end of an attempt without a result.")
    if pauses:
        parts.append("Dashed: a pause in which nothing ran, cut from the axis.")
    if not from_ledger:
        parts.append(
            "The ledger is not available: start and duration are from the records of finished trials."
        )
    if len(begun) > BARS:
        parts.append(f"Shown: {BARS} of {len(begun)} attempts, those without a result and the longest.")
    return " ".join(parts)


def lane_table(begun: Sequence[Attempt], lanes: Sequence[str], worked: float) -> Table:
    """A row for each lane; the longest attempts are in the notes."""
    rows = []
    for name in dict.fromkeys(sorted(lanes, key=_place)):
        own = [attempt for attempt, lane in zip(begun, lanes, strict=True) if lane == name]
        busy, bad = sum(map(_took, own)), sum(attempt.state == "failed" for attempt in own)
        share = percent(busy / worked if worked else 1.0, 0)
        rows.append([name, str(len(own)), str(bad), duration(busy), share])
    longest = sorted(begun, key=_took, reverse=True)[:LONGEST]
    note = "Longest: " + "; ".join(f"{one.cell} {duration(_took(one))}" for one in longest) + "."
    return Table(["slot", "attempts", "failed", "busy", "busy (%)"], rows, 1, [note])
