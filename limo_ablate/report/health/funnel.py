"""Section on selections: how many problems each rule left, for all cells; shared rules are drawn once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt
import polars as pl

from limo_ablate.core.text import counted
from limo_ablate.report.labels import percent
from limo_ablate.report.section import Chart, Section, Table
from limo_ablate.report.study_view import StudyView, artifact

ROWS = 60
"""Maximum number of rules drawn."""
LEVELS = 6
"""Maximum number of levels in a label; of more, the first and the last are shown."""
STEP = 12
"""Indentation in pixels of a rule's label relative to that of the rule before it."""
ROW = 36
"""Height in pixels of a rule: its label and its bar."""
INDENT = "\u2003"
WIDE = 30.0
"""Ratio of the largest to the smallest count above which the axis is logarithmic."""

Steps = list[tuple[str, int, int]]
"""(rule, problems left, solutions left)."""


@dataclass(slots=True)
class Rule:
    """A rule in the tree of rules, for all selections that reach it by the same rules."""

    names: list[str]
    """`size=64`; several if levels of one key are followed by the same rules."""
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
    """The selections' funnels; None if no trial selected anything."""
    selected = [t for t in view.done if "selection" in (t.metrics or {}).get("artifacts", {})]
    if not selected:
        return None
    funnels = [
        [
            (step["name"], step["problems"], step["rows"])
            for step in json.loads((path / "funnel.json").read_text())
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
    rules = flattened(tree(funnels))
    unread = (
        f" Selections of {len(funnels)} of {len(selected)} trials are in the store."
        if len(funnels) < len(selected)
        else ""
    )
    note = (
        "Problems left after each rule, in order; a rule is indented under the one before it. Light: range "
    )
    note += f"over several levels.{unread}"
    if len(rules) > ROWS:
        note += f" Shown: the first {ROWS} of {len(rules)} rules."
    chart = Chart(
        "funnel",
        "Problems left by each rule",
        _finding(funnels),
        note,
        funnel_chart(rules[:ROWS]).to_dict(),
        _table(rules, len(funnels)),
    )
    return Section("funnel", title, charts=(chart,))


def tree(funnels: Sequence[Steps]) -> list[Rule]:
    """The funnels as trees: funnels share their common first rules.

    Rules are also merged if they have the same predecessors, the same key and the same successors.
    """
    roots: list[Rule] = []
    for steps in funnels:
        after = roots
        for depth, (name, problems, solutions) in enumerate(steps):
            matches = (rule for rule in after if _is(rule, name, problems, solutions))
            rule = next(matches, None) or Rule([name], [problems], [solutions], depth)
            if rule not in after:
                after.append(rule)
            rule.trials += 1
            after = rule.after
    return _merge_alike(roots)


def _is(rule: Rule, name: str, problems: int, solutions: int) -> bool:
    return (rule.names, rule.problems, rule.solutions) == ([name], [problems], [solutions])


def _merge_alike(rules: list[Rule]) -> list[Rule]:
    kept: dict[tuple[Any, ...], Rule] = {}
    for rule in sorted(rules, key=lambda rule: (rule.problems, rule.names)):
        rule.after = _merge_alike(rule.after)
        into = kept.setdefault((rule.names[0].partition("=")[0], *_content(rule.after)), rule)
        if into is not rule:
            _merge(into, rule)
    return sorted(kept.values(), key=lambda rule: rule.names)


def _content(rules: Sequence[Rule]) -> list[Any]:
    """What is shown of the rules, except their numbers of trials."""
    return [(rule.depth, *rule.names, *rule.problems, *rule.solutions) for rule in flattened(rules)]


def _merge(into: Rule, rule: Rule) -> None:
    into.names += rule.names
    into.problems += rule.problems
    into.solutions += rule.solutions
    into.trials += rule.trials
    for mine, other in zip(flattened(into.after), flattened(rule.after), strict=True):
        mine.trials += other.trials


def flattened(rules: Sequence[Rule]) -> list[Rule]:
    """Every rule followed by its successors, depth first."""
    return [one for rule in rules for one in (rule, *flattened(rule.after))]


def funnel_chart(rules: Sequence[Rule]) -> alt.LayerChart | alt.FacetChart:
    """A bar for each rule, with its label above it."""
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
    tips = ["rule:N", "solutions:N", "trials:Q"]
    base = alt.Chart(rows).encode(y=y, tooltip=tips)
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


def _finding(funnels: Sequence[Steps]) -> str:
    pool, left = [steps[0][1] for steps in funnels], [steps[-1][1] for steps in funnels]
    different = len({tuple(steps) for steps in funnels})
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
    return Table(
        header,
        rows,
        1,
        [f"Over {counted(trials, 'trial')}. limo-ablate select lists every excluded row with the reason."],
    )
