"""Section on main effects and two-factor interactions of blocks with several factors. Exploratory."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import altair as alt
import polars as pl

from limo_ablate.analysis.factors import effects_from_base, factor_effects, two_level_effects
from limo_ablate.report.factorial.grid import Effect, Grid, aliases, balanced_grid, effect_label
from limo_ablate.report.factorial.interactions import ALPHA, heatmaps, line_charts
from limo_ablate.report.labels import POINTS, axis, errors_over, level
from limo_ablate.report.section import Chart, Section, Table, slug
from limo_ablate.report.study_view import StudyView
from limo_ablate.study.block import Block
from limo_ablate.study.points import points

TEXT = (
    "Exploratory: use these effects to choose contrasts, not as claims. Intervals are 95 % confidence "
    "intervals {over}, not adjusted for multiple comparisons; p-values are adjusted by "
    "Holm within each table, so an interval may exclude 0 although its effect is not significant. Untrained "
    "bases are left out."
)
MOST = 4
"""Number of effects named in the finding."""
BARS = f" Bars: 95 % intervals. Faded: not significant (adjusted p {ALPHA:g} or more). Exploratory."
DIFFERENCE = "The factor's second level minus its first, averaged over the other factors."
CHANGE = "Half of the change of one factor's effect from the other's first level to its second."
LEVEL = "Each level minus the mean of all cells."
FROM_BASE = "Each level minus the base level, all other factors at the base."
HEADER = ["effect", "95 % interval", "p", "adjusted p", "seeds"]


def section(view: StudyView) -> Section | None:
    """Effects of each factorial, fractional and ofat block with two factors or more; None if there are
    none."""
    grids = [grid for block in view.study.blocks if (grid := balanced_grid(view, block))]
    if not grids:
        return None
    over = errors_over([len({trial.seed for trial in view.counted})])
    texts = [
        TEXT.format(over=over),
        *(aliased(grid.block) for grid in grids if grid.block.design == "fractional"),
    ]
    charts = [chart for grid in grids for chart in block_charts(view, grid)]
    if not charts:
        return None
    return Section("factors", "Main effects and interactions", tuple(texts), tuple(charts))


def aliased(block: Block) -> str:
    """The aliased effects of a fractional design, in words."""
    mixed = [" = ".join(map(effect_label, row)) for row in aliases(block) if len(row) > 1]
    start = f"{block.name}: {len(points(block))} of {2 ** len(block.axes)} runs. "
    if mixed:
        return start + f"Aliased effects, which can't be separated: {'; '.join(mixed)}."
    return start + "Effects of one or two factors are aliased only with effects of more factors."


def block_charts(view: StudyView, grid: Grid) -> list[Chart]:
    """Main effects, interactions, and line charts of the two most significant pairs that no figure shows."""
    if grid.block.design == "ofat":
        rows = effects_from_base(grid.cube, grid.block.base or {})
        return [_levels(grid, rows, FROM_BASE)] if rows.height else []
    rows = factor_effects(grid.cube)
    if grid.two_level:
        charts = [chart for size in (1, 2) if (chart := _differences(grid, rows, size))]
    else:
        charts = [_levels(grid, rows, LEVEL), *heatmaps(grid, rows)]
    shown = [{figure.x, figure.line} for figure in view.figures if figure.block == grid.block.name]
    return [*charts, *line_charts(grid, rows, shown)]


def _levels(grid: Grid, rows: pl.DataFrame, meaning: str) -> Chart:
    """Main effects of levels, factor by factor; `meaning` says what each is compared with."""
    by = {(row["factor"], row["level"]): row for row in rows.filter(kind="main").iter_rows(named=True)}
    every = [(key, value) for key in grid.factors for value in grid.levels(key)]
    ordered = [(key, value, row) for key, value in every if (row := by.get((key, str(value))))]
    dots = [_dot(axis(key), level(value, key), row) for key, value, row in ordered]
    table = [
        [dot.group, dot.label, *_numbers(dot, row)] for dot, (_, _, row) in zip(dots, ordered, strict=True)
    ]
    rows_of = Table(["factor", "level", *HEADER], table, 2, [meaning])
    return _chart(grid, "main effects", meaning, dots, rows_of)


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
    first, second = (level(value, effect[0]) for value in grid.levels(effect[0]))
    return f"{name}: {first} → {second}"


def _dot(group: str, label: str, row: dict[str, Any]) -> Dot:
    return Dot(group, label, row["effect"], row["low"], row["high"], row["p_adj"] < ALPHA)


def _numbers(dot: Dot, row: dict[str, Any]) -> list[str]:
    return [dot.points, dot.interval, _p(row["p"]), _p(row["p_adj"]), str(row["seeds"])]


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _chart(grid: Grid, kind: str, meaning: str, effects: list[Dot], table: Table) -> Chart:
    title = f"{grid.block.name}: {kind} on {grid.score}"
    significant = sorted((dot for dot in effects if dot.significant), key=lambda dot: -abs(dot.effect))
    names = [f"{dot.group} {dot.label}".strip() + f" {dot.points}" for dot in significant]
    listed = "; ".join(names[:MOST]) + (f"; {len(names) - MOST} more" if len(names) > MOST else "")
    finding = f"Significant, in points: {listed}." if listed else "None is significant."
    chart = dot_chart(effects, f"difference of {grid.word} (points)").to_dict()
    return Chart(slug(title), title, finding, meaning + BARS, chart, table)


ROW = 24
"""Height in pixels of a row: a name or a dot."""
FADED = 0.35


@dataclass(frozen=True, slots=True)
class Dot:
    """An effect with its interval, as a dot of the chart."""

    group: str
    """Name above the group's dots, inside the plot, where long names fit."""
    label: str
    """Label beside the axis; empty for a group with one dot."""
    effect: float
    low: float
    high: float
    significant: bool
    """Drawn faded otherwise."""

    @property
    def points(self) -> str:
        return f"{100 * self.effect:+.1f}"

    @property
    def interval(self) -> str:
        return f"[{100 * self.low:+.1f}, {100 * self.high:+.1f}]"

    def row(self, place: int) -> dict[str, Any]:
        return {
            "place": place, "group": self.group, "label": self.label, "effect": self.effect, "low": self.low,
            "high": self.high, "significant": self.significant, "kind": "effect",
            "text": f"{self.points} {self.interval}",
        }  # fmt: skip


def dot_chart(effects: list[Dot], title: str) -> alt.LayerChart | alt.FacetChart:
    """A chart of effects in their order, with a line at 0."""
    names: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for group, own in groupby(effects, key=lambda dot: dot.group):
        names.append({"place": len(names) + len(rows), "group": group})
        for dot in own:
            rows.append(dot.row(len(names) + len(rows)))
    places = len(names) + len(rows)
    y = alt.Y("place:O", axis=None, scale=alt.Scale(domain=list(range(places))))
    opacity = alt.when("datum.significant").then(alt.value(1)).otherwise(alt.value(FADED))
    frame = alt.Chart(pl.DataFrame(rows))
    base = frame.encode(y=y, opacity=opacity, color=alt.Color("kind:N", legend=None))
    x = alt.X("low:Q", title=title, axis=alt.Axis(labelExpr=POINTS, grid=True, tickCount=6))
    tips = [
        alt.Tooltip("group:N", title="effect of"),
        alt.Tooltip("label:N", title="level"),
        alt.Tooltip("text:N", title="points"),
    ]
    text = alt.Chart(pl.DataFrame(names)).mark_text(align="left", fontWeight=600, dy=3)
    layers: list[Any] = [
        alt.Chart(pl.DataFrame({"zero": [0]})).mark_rule(strokeDash=[4, 3]).encode(x="zero:Q"),
        base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q"),
        base.mark_point(filled=True, size=80).encode(x="effect:Q", tooltip=tips),
        text.encode(y=y, x=alt.value(4), text="group:N"),
    ]
    if any(dot.label for dot in effects):
        label = frame.mark_text(align="right", dx=-8, limit=110)
        layers.append(label.encode(y=y, x=alt.value(0), text="label:N"))
    return alt.layer(*layers).properties(height=places * ROW)
