"""Main effects and two-factor interactions of the blocks that cross several factors. Exploratory."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import altair as alt
import polars as pl

from limo_ablate.analysis.factors import factor_effects, two_level_effects
from limo_ablate.report.factorial.grid import Effect, Grid, aliases, balanced_grid, effect_label
from limo_ablate.report.factorial.interactions import ALPHA, heatmaps, line_charts
from limo_ablate.report.labels import POINTS, axis, level
from limo_ablate.report.section import Chart, Section, Table, slug
from limo_ablate.report.study_view import StudyView
from limo_ablate.study.block import Block

TEXT = (
    "Exploratory: a reason to declare a contrast rather than a claim. Intervals are at 95 %, over other "
    "seeds and other problems, each for itself; p is adjusted by Holm over each table, so an interval may "
    "leave 0 out where the adjusted p tells nothing from chance. Untrained bases are left out."
)
MOST = 4
"""Effects that are named in the sentence."""
BARS = f" Bars: 95 % intervals. Pale: not told from chance (p adjusted {ALPHA:g} or more). Exploratory."
DIFFERENCE = "The factor's second level minus its first, over all levels of the others."
CHANGE = "Half of how much one factor's effect changes from the other's first level to its second."
LEVEL = "Each level minus the mean of all cells."
HEADER = ["effect", "95 % interval", "p", "p adjusted", "seeds"]


def section(view: StudyView) -> Section | None:
    """Of every factorial and fractional block with two factors or more."""
    found = [grid for block in view.study.blocks if (grid := balanced_grid(view, block))]
    if not found:
        return None
    texts = [TEXT, *(aliased(grid.block) for grid in found if grid.block.design == "fractional")]
    drawn = [picture for grid in found for picture in pictures(view, grid)]
    return Section("factors", "Main effects and interactions", tuple(texts), tuple(drawn))


def aliased(block: Block) -> str:
    """What can't be told apart in a fraction, in words."""
    mixed = [" = ".join(map(effect_label, row)) for row in aliases(block) if len(row) > 1]
    start = f"{block.name}: {len(block.points())} of {2 ** len(block.axes)} runs. "
    if mixed:
        return start + f"Aliased, so not to be told apart: {'; '.join(mixed)}."
    return start + "No effect of one or two factors is aliased with another of these, only with larger ones."


def pictures(view: StudyView, grid: Grid) -> list[Chart]:
    """Main effects, interactions, and the two surest pairs that no figure shows, line by line."""
    rows = factor_effects(grid.cube)
    if grid.two_level:
        drawn = [picture for size in (1, 2) if (picture := _differences(grid, rows, size))]
    else:
        drawn = [_levels(grid, rows), *heatmaps(grid, rows)]
    shown = [{figure.x, figure.line} for figure in view.figures if figure.block == grid.block.name]
    return [*drawn, *line_charts(grid, rows, shown)]


def _levels(grid: Grid, rows: pl.DataFrame) -> Chart:
    """Main effects: each level against the mean of all, factor by factor."""
    by = {(row["factor"], row["level"]): row for row in rows.filter(kind="main").iter_rows(named=True)}
    ordered = [(key, known, by[key, str(known)]) for key in grid.factors for known in grid.levels(key)]
    found = [_dot(axis(key), level(known), row) for key, known, row in ordered]
    table = [
        [dot.group, dot.label, *_numbers(dot, row)] for dot, (_, _, row) in zip(found, ordered, strict=True)
    ]
    return _chart(grid, "main effects", LEVEL, found, Table(["factor", "level", *HEADER], table, 2, [LEVEL]))


def _differences(grid: Grid, rows: pl.DataFrame, size: int) -> Chart | None:
    """A dot for each effect of `size` two-level factors, the largest first; None if there are none."""
    effects = [(name, factors) for name, factors in grid.effects() if len(factors) == size]
    if not effects:
        return None
    levels = [{key: grid.levels(key)[1] for key in factors} for _, factors in effects]
    numbers = two_level_effects(rows, levels).rows(named=True)
    ordered = [(_change(grid, *effect), row) for effect, row in zip(effects, numbers, strict=True)]
    ordered.sort(key=lambda pair: -abs(pair[1]["effect"]))
    dots = [_dot(name, "", row) for name, row in ordered]
    table = [[dot.group, *_numbers(dot, row)] for dot, (_, row) in zip(dots, ordered, strict=True)]
    kind, meaning = ("main effects", DIFFERENCE) if size == 1 else ("interactions", CHANGE)
    return _chart(grid, kind, meaning, dots, Table(["effect of", *HEADER], table, 1, [meaning]))


def _change(grid: Grid, name: str, effect: Effect) -> str:
    """`training examples: 8 → 64` for one factor."""
    if len(effect) > 1:
        return name
    first, second = map(level, grid.levels(effect[0]))
    return f"{name}: {first} → {second}"


def _dot(group: str, label: str, row: dict[str, Any]) -> Dot:
    return Dot(group, label, row["effect"], row["low"], row["high"], row["p_adj"] < ALPHA)


def _numbers(dot: Dot, row: dict[str, Any]) -> list[str]:
    return [dot.points, dot.interval, _p(row["p"]), _p(row["p_adj"]), str(row["seeds"])]


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _chart(grid: Grid, what: str, said: str, found: list[Dot], table: Table) -> Chart:
    title = f"{grid.block.name}: {what} on {grid.score}"
    seen = sorted((dot for dot in found if dot.seen), key=lambda dot: -abs(dot.effect))
    names = [f"{dot.group} {dot.label}".strip() + f" {dot.points}" for dot in seen]
    told = "; ".join(names[:MOST]) + (f"; {len(names) - MOST} more" if len(names) > MOST else "")
    finding = f"Told from chance, in points: {told}." if told else "None can be told from chance."
    chart = dot_chart(found, "difference of accuracy (points)").to_dict()
    return Chart(slug(title), title, finding, said + BARS, chart, table)


ROW = 24
"""Pixels of a row: a name, or a dot."""
FADED = 0.35


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


def dot_chart(found: list[Dot], title: str) -> alt.LayerChart | alt.FacetChart:
    """A chart of them, in their order, with a line at 0."""
    names: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for group, own in groupby(found, key=lambda dot: dot.group):
        names.append({"place": len(names) + len(rows), "group": group})
        for dot in own:
            rows.append(dot.row(len(names) + len(rows)))
    places = len(names) + len(rows)
    y = alt.Y("place:O", axis=None, scale=alt.Scale(domain=list(range(places))))
    pale = alt.when("datum.seen").then(alt.value(1)).otherwise(alt.value(FADED))
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
