"""When each trial ran: a bar for every attempt, a lane for each slot, pauses cut short."""

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
"""Bars drawn; of more, those that did not end well, and the longest."""
PAUSE = 0.05
"""A stretch in which nothing ran is a pause from this share of the time in which something did."""
CUT = 0.015
"""What a pause is drawn as, a share of the same."""
TOUCH = 0.05
"""Seconds by which two attempts of a slot may overlap: the clock is read before one ends for the ledger."""
LONGEST = 8
UNITS = ((5400.0, 3600.0, "hours"), (90.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
"""(from so many seconds on, seconds of one, its name)."""
ROW, TALLEST = 26, 900
"""Pixels of a lane, and of all of them."""

Spans = list[tuple[float, float]]
"""(start, end) in seconds."""


def section(view: StudyView) -> Section | None:
    """None where nothing has run."""
    found, from_ledger = attempts(view)
    if not found:
        return None
    lanes, (worked, pauses) = assign_lanes(found), pauses_of(found)
    picture = Chart(
        "timeline",
        "Every attempt, slot by slot",
        _finding(found, lanes, worked, pauses),
        _note(found, pauses, from_ledger),
        timeline_chart(found, lanes, worked, pauses).to_dict(),
        lane_table(found, lanes, worked),
    )
    return Section("timeline", "Timeline of the sweep", charts=(picture,))


def assign_lanes(found: Sequence[Attempt]) -> list[str]:
    """The lane of each attempt (earliest first): its machine's first slot that is free by then."""
    machines = list(dict.fromkeys(attempt.machine for attempt in found))
    free: dict[str, list[float]] = {machine: [] for machine in machines}
    lanes = []
    for attempt in found:
        ends = free[attempt.machine]
        slot = next((i for i, end in enumerate(ends) if end <= attempt.start + TOUCH), len(ends))
        ends[slot : slot + 1] = [attempt.end]
        where = f"machine {machines.index(attempt.machine) + 1}, " if len(machines) > 1 else ""
        lanes.append(f"{where}slot {slot + 1}")
    return lanes


def pauses_of(found: Sequence[Attempt]) -> tuple[float, Spans]:
    """Seconds in which something ran, and the pauses between."""
    gaps, worked, end = [], 0.0, found[0].start
    for attempt in found:
        if attempt.start > end:
            gaps.append((end, attempt.start))
        worked += max(0.0, attempt.end - max(end, attempt.start))
        end = max(end, attempt.end)
    return worked, [(a, b) for a, b in gaps if b - a > PAUSE * worked]


def timeline_chart(
    found: Sequence[Attempt], lanes: Sequence[str], worked: float, pauses: Spans
) -> alt.LayerChart | alt.FacetChart:
    """Bars over the time of work; what did not end well has a cross at its end."""
    unit, word = next((seconds, name) for least, seconds, name in UNITS if worked >= least)
    clock = _clock(found[0].start, pauses, CUT * worked, unit)
    rows = _rows(found, lanes, clock)
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


def _rows(found: Sequence[Attempt], lanes: Sequence[str], clock: Callable[[float], float]) -> pl.DataFrame:
    pairs = sorted(
        zip(found, lanes, strict=True), key=lambda pair: (pair[0].state == "done", -_took(pair[0]))
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
    """Time of work, in units, at an instant."""

    def at(instant: float) -> float:
        over = [(min(b, instant) - a, b - a) for a, b in pauses if instant > a]
        return round((instant - start - sum(gone - cut * gone / whole for gone, whole in over)) / unit, 4)

    return at


def _took(attempt: Attempt) -> float:
    return attempt.end - attempt.start


def _place(lane: str) -> list[int]:
    return [int(word) for word in lane.replace(",", "").split() if word.isdigit()]


def _finding(found: Sequence[Attempt], lanes: Sequence[str], worked: float, pauses: Spans) -> str:
    counts = Counter(attempt.state for attempt in found)
    states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    busy = sum(map(_took, found)) / (worked * len(set(lanes))) if worked else 1.0
    paused = f" and {len(pauses)} pauses" if len(pauses) > 1 else " and a pause" if pauses else ""
    return (
        f"{len(found)} attempts ({states}) in {duration(worked)} of work{paused}; "
        f"{_lanes(lanes)} busy for {percent(busy, 0)} % of it."
    )


def _lanes(lanes: Sequence[str]) -> str:
    count = len(set(lanes))
    return f"{count} slots were" if count > 1 else "the slot was"


def _note(found: Sequence[Attempt], pauses: Spans, from_ledger: bool) -> str:
    parts = ["A bar is an attempt."]
    if any(attempt.state in ("failed", "pruned", "interrupted") for attempt in found):
        parts.append("A cross is the end of one without a result.")
    if pauses:
        parts.append("Dashed: a pause in which nothing ran, cut out of the axis.")
    if not from_ledger:
        parts.append("The ledger is not here: start and duration are those that finished trials recorded.")
    if len(found) > BARS:
        parts.append(f"Of {len(found)} attempts, {BARS}: those without a result, and the longest.")
    return " ".join(parts)


def lane_table(found: Sequence[Attempt], lanes: Sequence[str], worked: float) -> Table:
    """A row for each lane; in the notes the longest attempts."""
    rows = []
    for name in dict.fromkeys(sorted(lanes, key=_place)):
        own = [attempt for attempt, lane in zip(found, lanes, strict=True) if lane == name]
        busy, bad = sum(map(_took, own)), sum(attempt.state == "failed" for attempt in own)
        share = percent(busy / worked if worked else 1.0, 0)
        rows.append([name, str(len(own)), str(bad), duration(busy), share])
    longest = sorted(found, key=_took, reverse=True)[:LONGEST]
    told = "Longest: " + "; ".join(f"{one.cell} {duration(_took(one))}" for one in longest) + "."
    return Table(["slot", "attempts", "failed", "busy", "busy (%)"], rows, 1, [told])
