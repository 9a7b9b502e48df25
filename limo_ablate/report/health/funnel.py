"""What each rule of the selections left of the pool: the funnels of all cells, what they share drawn once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt
import polars as pl

from limo_ablate.report.labels import percent
from limo_ablate.report.section import Chart, Section, Table
from limo_ablate.report.study_view import StudyView, artifact

ROWS = 60
"""Rules drawn; of more, the first."""
LEVELS = 6
"""Levels of a rule in a label; of more, the first and the last."""
STEP = 12
"""Pixels by which a rule's label stands further in than that of the rule before it."""
ROW = 36
"""Pixels of a rule: its label and its bar."""
INDENT = "\u2003"
WIDE = 30.0
"""Counts that span more than this many times are drawn on a logarithmic axis."""

Steps = list[tuple[str, int, int]]
"""(rule, problems left, solutions left)."""


@dataclass(slots=True)
class Rule:
    """A rule after certain others, of all selections that went so."""

    names: list[str]
    """`size=64`; several where levels of one key are followed by the same."""
    problems: list[int]
    solutions: list[int]
    depth: int
    trials: int = 0
    after: list[Rule] = field(default_factory=list)

    @property
    def label(self) -> str:
        """`size=4, 16, 64`."""
        key, _, first = self.names[0].partition("=")
        levels = [first, *(name.partition("=")[2] for name in self.names[1:])]
        if len(levels) > LEVELS:
            levels = [levels[0], "…", f"{levels[-1]} ({len(levels)} levels)"]
        return f"{key}={', '.join(levels)}" if first else key


def section(view: StudyView) -> Section | None:
    """None where no trial selected anything; a line where the store is gone."""
    selected = [t for t in view.done if "selection" in (t.metrics or {}).get("artifacts", {})]
    if not selected:
        return None
    found = [
        [
            (step["name"], step["problems"], step["rows"])
            for step in json.loads((path / "funnel.json").read_text())
        ]
        for trial in selected
        if (path := artifact(view, trial, "selection"))
    ]
    title = "Selections"
    if not found:
        return Section(
            "funnel", title, ("The selections' artifacts are not here, so their funnels can't be shown.",)
        )
    rules = flattened(tree(found))
    unread = (
        f" Of {len(selected)} trials, those of {len(found)} are here." if len(found) < len(selected) else ""
    )
    note = (
        "Problems left after each rule, in order; a rule stands under the one before it. Light: between the "
    )
    note += f"smallest and the largest of several levels.{unread}"
    if len(rules) > ROWS:
        note += f" The first {ROWS} of {len(rules)} rules."
    picture = Chart(
        "funnel",
        "What each rule left of the pool",
        _finding(found),
        note,
        funnel_chart(rules[:ROWS]).to_dict(),
        _table(rules, len(found)),
    )
    return Section("funnel", title, charts=(picture,))


def tree(found: Sequence[Steps]) -> list[Rule]:
    """The funnels as trees: those that begin alike are one as far as they are alike.

    Rules that follow the same ones, set the same key and are followed by the same are one, too.
    """
    roots: list[Rule] = []
    for steps in found:
        after = roots
        for depth, (name, problems, solutions) in enumerate(steps):
            known = (rule for rule in after if _is(rule, name, problems, solutions))
            rule = next(known, None) or Rule([name], [problems], [solutions], depth)
            if rule not in after:
                after.append(rule)
            rule.trials += 1
            after = rule.after
    return _merged(roots)


def _is(rule: Rule, name: str, problems: int, solutions: int) -> bool:
    return (rule.names, rule.problems, rule.solutions) == ([name], [problems], [solutions])


def _merged(rules: list[Rule]) -> list[Rule]:
    kept: dict[tuple[Any, ...], Rule] = {}
    for rule in sorted(rules, key=lambda rule: (rule.problems, rule.names)):
        rule.after = _merged(rule.after)
        into = kept.setdefault((rule.names[0].partition("=")[0], *_said(rule.after)), rule)
        if into is not rule:
            _merge(into, rule)
    return sorted(kept.values(), key=lambda rule: rule.names)


def _said(rules: Sequence[Rule]) -> list[Any]:
    """What is told of the rules; not of how many trials."""
    return [(rule.depth, *rule.names, *rule.problems, *rule.solutions) for rule in flattened(rules)]


def _merge(into: Rule, rule: Rule) -> None:
    into.names += rule.names
    into.problems += rule.problems
    into.solutions += rule.solutions
    into.trials += rule.trials
    for mine, other in zip(flattened(into.after), flattened(rule.after), strict=True):
        mine.trials += other.trials


def flattened(rules: Sequence[Rule]) -> list[Rule]:
    """Every rule, followed by those after it."""
    return [one for rule in rules for one in (rule, *flattened(rule.after))]


def funnel_chart(rules: Sequence[Rule]) -> alt.LayerChart | alt.FacetChart:
    """A bar for each rule with its label above it."""
    low, high = min(min(rule.problems) for rule in rules), max(max(rule.problems) for rule in rules)
    log = low > 0 and high / low > WIDE
    start = 1 if log else 0
    rows = pl.DataFrame(
        [
            {
                "place": place, "indent": 2 + STEP * rule.depth,
                "rule": f"{rule.label}: {_range(rule.problems)}",
                "least": min(rule.problems), "most": max(rule.problems), "start": start,
                "solutions": _range(rule.solutions), "trials": rule.trials, "kind": "problems",
            }
            for place, rule in enumerate(rules)
        ]
    )  # fmt: skip
    scale = alt.Scale(type="log" if log else "linear", domainMin=start, nice=False)
    x = alt.X(
        "start:Q", scale=scale, title=f"problems left{' (log scale)' if log else ''}",
        axis=alt.Axis(format="~s", tickCount=4, grid=True),
    )  # fmt: skip
    y = alt.Y("place:O", axis=None)
    told = ["rule:N", "solutions:N", "trials:Q"]
    base = alt.Chart(rows).encode(y=y, tooltip=told)
    bars = base.encode(color=alt.Color("kind:N", legend=None))
    bar: dict[str, Any] = {"height": 9, "yOffset": 7}
    layers: list[Any] = [
        bars.mark_bar(opacity=0.35, **bar).encode(x=x, x2="most:Q"),
        bars.mark_bar(**bar).encode(x=x, x2="least:Q"),
        base.mark_text(align="left", dy=-7).encode(x=alt.X("indent:Q", scale=None), text="rule:N"),
    ]
    return alt.layer(*layers).properties(height=ROW * len(rules))


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _finding(found: Sequence[Steps]) -> str:
    pool, left = [steps[0][1] for steps in found], [steps[-1][1] for steps in found]
    different = len({tuple(steps) for steps in found})
    kinds = "funnel" if different == 1 else "different funnels"
    return f"{different} {kinds}: {_range(pool)} problems in the pool, {_range(left)} chosen."


def _table(rules: Sequence[Rule], trials: int) -> Table:
    whole = max(max(rule.problems) for rule in rules)
    rows = [
        [
            f"{INDENT * rule.depth}{rule.label}",
            _range(rule.problems),
            percent(max(rule.problems) / whole),
            _range(rule.solutions),
            str(rule.trials),
        ]
        for rule in rules
    ]
    header = ["rule", "problems left", "of the pool (%, at most)", "solutions left", "trials"]
    return Table(header, rows, 1, [f"Of {trials} trials. Every row that went, and why: limo-ablate select."])
