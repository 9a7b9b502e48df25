"""Main effects and two-factor interactions of the blocks that cross several factors. Exploratory."""

from __future__ import annotations

from typing import Any

import polars as pl

from limo_ablate.analysis.factors import factor_effects
from limo_ablate.analysis.resample import holm
from limo_ablate.report.factorial.dots import Dot, dots
from limo_ablate.report.factorial.grid import Effect, Grid, aliases, balanced, named
from limo_ablate.report.factorial.interactions import SEEN, lines, maps
from limo_ablate.report.load import StudyView
from limo_ablate.report.names import axis, level
from limo_ablate.report.section import Drawn, Section, Table, slug
from limo_ablate.study.block import Block

TEXT = (
    "Exploratory: a reason to declare a contrast rather than a claim. Intervals are at 95 %, over other "
    "seeds and other problems, each for itself; p is adjusted by Holm over each table, so an interval may "
    "leave 0 out where the adjusted p tells nothing from chance. Untrained bases are left out."
)
MOST = 4
"""Effects that are named in the sentence."""
BARS = f" Bars: 95 % intervals. Pale: not told from chance (p adjusted {SEEN:g} or more). Exploratory."
DIFFERENCE = "The factor's second level minus its first, over all levels of the others."
CHANGE = "Half of how much one factor's effect changes from the other's first level to its second."
LEVEL = "Each level minus the mean of all cells."
HEADER = ["effect", "95 % interval", "p", "p adjusted", "seeds"]


def section(view: StudyView) -> Section | None:
    """Of every factorial and fractional block with two factors or more."""
    found = [grid for block in view.study.blocks if (grid := balanced(view, block))]
    if not found:
        return None
    texts = [TEXT, *(aliased(grid.block) for grid in found if grid.block.design == "fractional")]
    drawn = [picture for grid in found for picture in pictures(view, grid)]
    return Section("factors", "Main effects and interactions", tuple(texts), tuple(drawn))


def aliased(block: Block) -> str:
    """What can't be told apart in a fraction, in words."""
    mixed = [" = ".join(map(named, row)) for row in aliases(block) if len(row) > 1]
    start = f"{block.name}: {len(block.points())} of {2 ** len(block.axes)} runs. "
    if mixed:
        return start + f"Aliased, so not to be told apart: {'; '.join(mixed)}."
    return start + "No effect of one or two factors is aliased with another of these, only with larger ones."


def pictures(view: StudyView, grid: Grid) -> list[Drawn]:
    """Main effects, interactions, and the two surest pairs that no figure shows, line by line."""
    rows = factor_effects(grid.cube)
    if grid.two_level:
        drawn = [picture for size in (1, 2) if (picture := _differences(grid, rows, size))]
    else:
        drawn = [_levels(grid, rows), *maps(grid, rows)]
    shown = [{figure.x, figure.line} for figure in view.figures if figure.block == grid.block.name]
    return [*drawn, *lines(grid, rows, shown)]


def _levels(grid: Grid, rows: pl.DataFrame) -> Drawn:
    """Main effects: each level against the mean of all, factor by factor."""
    by = {(row["factor"], row["level"]): row for row in rows.filter(kind="main").iter_rows(named=True)}
    ordered = [(key, known, by[key, str(known)]) for key in grid.factors for known in grid.levels(key)]
    found = [_dot(axis(key), level(known), row, 1.0) for key, known, row in ordered]
    table = [
        [dot.group, dot.label, *_numbers(dot, row)] for dot, (_, _, row) in zip(found, ordered, strict=True)
    ]
    return _picture(
        grid, "main effects", LEVEL, found, Table(["factor", "level", *HEADER], table, 2, [LEVEL])
    )


def _differences(grid: Grid, rows: pl.DataFrame, size: int) -> Drawn | None:
    """Of two-level factors: a dot for each effect of `size` factors, the largest first; null without any."""
    wanted = [
        (name, effect, _row(grid, rows, effect)) for name, effect in grid.effects() if len(effect) == size
    ]
    if not wanted:
        return None
    # each effect once, where `factor_effects` has it for every level
    adjusted = holm([row["p"] for _, _, row in wanted])
    ordered = [
        (_change(grid, name, effect), row | {"p_adj": float(p)})
        for (name, effect, row), p in zip(wanted, adjusted, strict=True)
    ]
    ordered.sort(key=lambda found: -abs(found[1]["effect"]))
    found = [_dot(name, "", row, 2.0) for name, row in ordered]
    table = [[dot.group, *_numbers(dot, row)] for dot, (_, row) in zip(found, ordered, strict=True)]
    what, said = ("main effects", DIFFERENCE) if size == 1 else ("interactions", CHANGE)
    return _picture(grid, what, said, found, Table(["of", *HEADER], table, 1, [said]))


def _row(grid: Grid, rows: pl.DataFrame, effect: Effect) -> dict[str, Any]:
    """Of the second level, or of both second levels."""
    seconds = [str(grid.levels(key)[1]) for key in effect]
    other = (effect[1], seconds[1]) if len(effect) == 2 else (None, None)
    return rows.row(
        by_predicate=pl.struct("factor", "level", "other", "other_level").eq_missing(
            pl.struct(
                factor=pl.lit(effect[0]), level=pl.lit(seconds[0]),
                other=pl.lit(other[0], pl.String), other_level=pl.lit(other[1], pl.String),
            )
        ),
        named=True,
    )  # fmt: skip


def _change(grid: Grid, name: str, effect: Effect) -> str:
    """`training examples: 8 → 64` for one factor."""
    if len(effect) > 1:
        return name
    first, second = map(level, grid.levels(effect[0]))
    return f"{name}: {first} → {second}"


def _dot(group: str, label: str, row: dict[str, Any], times: float) -> Dot:
    effect, low, high = (times * row[name] for name in ("effect", "low", "high"))
    return Dot(group, label, effect, low, high, row["p_adj"] < SEEN)


def _numbers(dot: Dot, row: dict[str, Any]) -> list[str]:
    return [dot.points, dot.interval, _p(row["p"]), _p(row["p_adj"]), str(row["seeds"])]


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _picture(grid: Grid, what: str, said: str, found: list[Dot], table: Table) -> Drawn:
    title = f"{grid.block.name}: {what} on {grid.score}"
    seen = sorted((dot for dot in found if dot.seen), key=lambda dot: -abs(dot.effect))
    names = [f"{dot.group} {dot.label}".strip() + f" {dot.points}" for dot in seen]
    told = "; ".join(names[:MOST]) + (f"; {len(names) - MOST} more" if len(names) > MOST else "")
    finding = f"Told from chance, in points: {told}." if told else "None can be told from chance."
    chart = dots(found, "difference of accuracy (points)").to_dict()
    return Drawn(slug(title), title, finding, said + BARS, chart, table)
