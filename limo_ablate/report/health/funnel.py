"""Section on selections: how many problems each step left, for all cells; shared steps are drawn once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import altair as alt
import polars as pl

from limo_ablate.core.reading import read_json
from limo_ablate.core.text import counted
from limo_ablate.data.pool.load import unused_rows
from limo_ablate.report.labels import percent
from limo_ablate.report.section import Chart, Section, Table
from limo_ablate.report.study_view import StudyView, artifact

ROWS = 60
"""Maximum number of steps drawn."""
LEVELS = 6
"""Maximum number of levels in a label; of more, the first and the last are shown."""
STEP = 12
"""Indentation in pixels of a step's label relative to that of the step before it."""
ROW = 36
"""Height in pixels of a step: its label and its bar."""
INDENT = "\u2003"
WIDE = 30.0
"""Ratio of the largest to the smallest count above which the axis is logarithmic."""

Funnel = list[tuple[str, int, int]]
"""(step, problems left, solutions left)."""


@dataclass(slots=True)
class Step:
    """A step in the tree of steps, for all selections that reach it by the same steps."""

    names: list[str]
    """`size=64`; several if levels of one key are followed by the same steps."""
    problems: list[int]
    solutions: list[int]
    depth: int
    trials: int = 0
    after: list[Step] = field(default_factory=list)

    @property
    def label(self) -> str:
        """`size=4, 16, 64`."""
        key, _, first = self.names[0].partition("=")
        levels = [first, *(name.partition("=")[2] for name in self.names[1:])]
        if len(levels) > LEVELS:
            levels = [levels[0], "…", f"{levels[-1]} ({len(levels)} levels)"]
        return f"{key}={', '.join(levels)}" if first else key


class FunnelStep(TypedDict):
    """A row of funnel.json."""

    name: str
    problems: int
    rows: int


def section(view: StudyView) -> Section | None:
    """The selections' funnels; None if no trial selected anything."""
    selected = [t for t in view.done if "selection" in (t.metrics or {}).get("artifacts", {})]
    if not selected:
        return None
    funnels = [
        [
            (step["name"], step["problems"], step["rows"])
            for step in read_json(path / "funnel.json", list[FunnelStep])
        ]
        for trial in selected
        if (path := artifact(view, trial, "selection"))
    ]
    title = "Selections"
    if not funnels:
        return Section(
            "funnel",
            title,
            ("The selections' artifacts are not in the store, so their funnels can't be shown.",),
        )
    steps = flattened(tree(funnels))
    unread = (
        f" Selections of {len(funnels)} of {len(selected)} trials are in the store."
        if len(funnels) < len(selected)
        else ""
    )
    note = (
        "Problems left after each step, in order; a step is indented under the one before it. Light: range "
    )
    note += f"over several levels.{unread}"
    if len(steps) > ROWS:
        note += f" Shown: the first {ROWS} of {len(steps)} steps."
    chart = Chart(
        "funnel",
        "Problems left by each step",
        _finding(funnels),
        note,
        funnel_chart(steps[:ROWS]).to_dict(),
        _table(steps, len(funnels)),
    )
    counts = [(trial.metrics or {}).get("pool") or {} for trial in selected]
    unused = dict.fromkeys(line for one in counts for line in unused_rows(one))
    return Section("funnel", title, tuple(f"{line}." for line in unused), charts=(chart,))


def tree(funnels: Sequence[Funnel]) -> list[Step]:
    """The funnels as trees: funnels share their common first steps.

    Steps are also merged if they have the same predecessors, the same key and the same successors.
    """
    roots: list[Step] = []
    for steps in funnels:
        after = roots
        for depth, (name, problems, solutions) in enumerate(steps):
            matches = (step for step in after if _is(step, name, problems, solutions))
            step = next(matches, None) or Step([name], [problems], [solutions], depth)
            if step not in after:
                after.append(step)
            step.trials += 1
            after = step.after
    return _merge_alike(roots)


def _is(step: Step, name: str, problems: int, solutions: int) -> bool:
    return (step.names, step.problems, step.solutions) == ([name], [problems], [solutions])


def _merge_alike(steps: list[Step]) -> list[Step]:
    kept: dict[tuple[Any, ...], Step] = {}
    for step in sorted(steps, key=lambda step: (step.problems, step.names)):
        step.after = _merge_alike(step.after)
        into = kept.setdefault((step.names[0].partition("=")[0], *_content(step.after)), step)
        if into is not step:
            _merge(into, step)
    return sorted(kept.values(), key=lambda step: step.names)


def _content(steps: Sequence[Step]) -> list[Any]:
    """What is shown of the steps, except their numbers of trials."""
    return [(step.depth, *step.names, *step.problems, *step.solutions) for step in flattened(steps)]


def _merge(into: Step, step: Step) -> None:
    into.names += step.names
    into.problems += step.problems
    into.solutions += step.solutions
    into.trials += step.trials
    for mine, other in zip(flattened(into.after), flattened(step.after), strict=True):
        mine.trials += other.trials


def flattened(steps: Sequence[Step]) -> list[Step]:
    """Every step followed by its successors, depth first."""
    return [one for step in steps for one in (step, *flattened(step.after))]


def funnel_chart(steps: Sequence[Step]) -> alt.LayerChart | alt.FacetChart:
    """A bar for each step, with its label above it."""
    low, high = min(min(step.problems) for step in steps), max(max(step.problems) for step in steps)
    log = low > 0 and high / low > WIDE
    start = 1 if log else 0
    rows = pl.DataFrame(
        [
            {
                "place": place, "indent": 2 + STEP * step.depth,
                "step": f"{step.label}: {_range(step.problems)}",
                "least": min(step.problems), "most": max(step.problems), "start": start,
                "solutions": _range(step.solutions), "trials": step.trials, "kind": "problems",
            }
            for place, step in enumerate(steps)
        ]
    )  # fmt: skip
    scale = alt.Scale(type="log" if log else "linear", domainMin=start, nice=False)
    x = alt.X(
        "start:Q", scale=scale, title=f"problems left{' (log scale)' if log else ''}",
        axis=alt.Axis(format="~s", tickCount=4, grid=True),
    )  # fmt: skip
    y = alt.Y("place:O", axis=None)
    tips = ["step:N", "solutions:N", "trials:Q"]
    base = alt.Chart(rows).encode(y=y, tooltip=tips)
    bars = base.encode(color=alt.Color("kind:N", legend=None))
    bar: dict[str, Any] = {"height": 9, "yOffset": 7}
    layers: list[Any] = [
        bars.mark_bar(opacity=0.35, **bar).encode(x=x, x2="most:Q"),
        bars.mark_bar(**bar).encode(x=x, x2="least:Q"),
        base.mark_text(align="left", dy=-7).encode(x=alt.X("indent:Q", scale=None), text="step:N"),
    ]
    return alt.layer(*layers).properties(height=ROW * len(steps))


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _finding(funnels: Sequence[Funnel]) -> str:
    pool, left = [steps[0][1] for steps in funnels], [steps[-1][1] for steps in funnels]
    different = len({tuple(steps) for steps in funnels})
    kinds = "funnel" if different == 1 else "different funnels"
    return f"{different} {kinds}: {_range(pool)} problems in the pool, {_range(left)} chosen."


def _table(steps: Sequence[Step], trials: int) -> Table:
    whole = max(max(step.problems) for step in steps)
    rows = [
        [
            f"{INDENT * step.depth}{step.label}",
            _range(step.problems),
            percent(max(step.problems) / whole),
            _range(step.solutions),
            str(step.trials),
        ]
        for step in steps
    ]
    header = ["step", "problems left", "of the pool (%, at most)", "solutions left", "trials"]
    return Table(
        header,
        rows,
        1,
        [f"Over {counted(trials, 'trial')}. limo-ablate select lists every excluded row with the reason."],
    )
