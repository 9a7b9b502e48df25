"""The data of the figures that a study declares, and the curves fitted to them. Draws nothing.

    figures:
      - {title: Accuracy by size, block: sizes, x: select.size, line: select.quality, score: mini}

A point is the mean over seeds of the block's trials at one level of `x` and `line`. If the block has another
axis, there is a panel for each of its levels. An axis of seeds (`model.pretrain.seed`) has no panels: its
levels are replicates, crossed with the study's seeds, and means and error bars are over both.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import polars as pl

from limo_ablate.analysis.cube import Cube, build_cube
from limo_ablate.analysis.curves import Curve, fit_curves
from limo_ablate.analysis.factors import complete_grid, levels
from limo_ablate.analysis.replicates import replicate_axis
from limo_ablate.analysis.summary import summary
from limo_ablate.analysis.table import table
from limo_ablate.analysis.trials import Trial, best_of_tuning
from limo_ablate.core.errors import UserError
from limo_ablate.core.typed import nearest
from limo_ablate.report.labels import axis, score_word
from limo_ablate.report.labels import level as level_text
from limo_ablate.study.axes import factors, keys
from limo_ablate.study.contrast import SIZE, measured
from limo_ablate.study.design import ALL, Block, Figure

LOG_RATIO = 8
"""Ratio of the largest to the smallest size from which the axis is logarithmic."""
AMOUNTS = (SIZE, "select.tokens", "train.tokens", "train.steps", "train.epochs", "model.pretrain.tokens")
"""Axes that curves are fitted over: amounts, of which more should not reduce accuracy."""
UNTRAINED = "untrained"
"""Name of the line for size 0 if lines are selections: the untuned base belongs to none of them."""


@dataclass(frozen=True, kw_only=True)
class FigureData:
    figure: Figure
    points: pl.DataFrame
    """`summary.summary` by x and line (as text)."""
    answers: pl.DataFrame
    """What the points average: x, line, seed (or level of `over`), training within it, problem, accuracy,
    and cluster if problems are clustered."""
    lines: list[str]
    """Levels of `line` in the study's order, without `UNTRAINED`."""
    levels: list[Any]
    """Levels of `x` in the study's order."""
    scale: Literal["log", "linear", "category"]
    word: str
    """What the means are called: `accuracy`, `score` or `share finished`."""
    over: str
    """What means are over: `seed`, or the label of the axis of replicates (`pre-training seed`)."""

    @property
    def with_seeds(self) -> bool:
        """Whether each level of `over` has several trainings (the study's seeds)."""
        return self.answers["training"].n_unique() > 1

    @cached_property
    def fits(self) -> Fits | None:
        """Fitted curves over x; None unless x is an amount and enough sizes have been run."""
        amount = self.figure.x in AMOUNTS or "." not in self.figure.x  # a factor of imported logs
        across = self.scale != "category" and amount
        return fit_lines(self.answers, self.lines) if across else None

    @property
    def base(self) -> pl.DataFrame:
        """Points shown as a reference level, not on the axis: size 0, the base model."""
        across = self.scale == "log" or self.figure.x == SIZE
        here = across and 0 in self.levels and len(self.levels) > 1
        return self.points.filter(pl.col("x") == 0) if here else self.points.clear()

    @property
    def curve(self) -> pl.DataFrame:
        """All other points."""
        return self.points if self.base.is_empty() else self.points.filter(pl.col("x") != 0)


def figure_data(
    figure: Figure, block: Block, trials: Sequence[Trial], answers: pl.DataFrame
) -> Iterator[FigureData]:
    """The figure's panels from the block's finished trials: one for each combination of levels of the block's
    other axes that has trials. `answers` is `answers.items` of the trials.

    Raises UserError for a key or score that the trials don't have, and for two axes of replicates.
    """
    own = [t for t in trials if figure.block in t.blocks and t.metrics]
    if block.tune and not {figure.x, figure.line} & {*factors(block.tune.axes)}:
        own = best_of_tuning(own, block)
    others = _others(figure, block)
    if block.design == "ofat":
        own = [t for t in own if all(_is(t, key, (block.base or {})[key]) for key in others)]
        others = []
    levels = block.factors()
    over = replicate_axis(others, list(itertools.product(*(levels[key] for key in others))))
    seeds = [over, "seed"] if over else ["seed"]
    panels = [key for key in others if key != over]
    for chosen in itertools.product(*(levels[key] for key in panels)):
        part = [t for t in own if all(_is(t, k, v) for k, v in zip(panels, chosen, strict=True))]
        if part:
            named = ", ".join(f"{k.split('.')[-1]} {v}" for k, v in zip(panels, chosen, strict=True))
            title = f"{figure.title} ({named})" if named else figure.title
            yield _data(replace(figure, title=title), block, part, answers, seeds)


def _others(figure: Figure, block: Block) -> list[str]:
    """Keys of the block's axes other than x and line; of keys that vary together, the first.

    Empty for designs that don't cross all levels: there, means are over the other axes too.
    """
    if block.design not in ("factorial", "ofat"):
        return []
    crossed = [keys(axis) for axis in block.axes if axis not in (block.when or {})]
    return [named[0] for named in crossed if not {figure.x, figure.line} & {*named}]


def _is(trial: Trial, key: str, level: Any) -> bool:
    """Whether the trial is at this level; an untuned base is at every level of a selection but its size."""
    of_selection = key.startswith("select.") and key != SIZE
    return trial.level(key) == level or (of_selection and trial.level(SIZE) == 0)


def _data(
    figure: Figure, block: Block, trials: list[Trial], answers: pl.DataFrame, seeds: list[str]
) -> FigureData:
    keys, (name, outcome) = list(dict.fromkeys([figure.x, figure.line, *seeds])), measured(figure.score)
    rows = table(trials, [key for key in keys if key not in ("seed", ALL)]).filter(pl.col("score") == name)
    answers = answers.with_columns(accuracy=pl.col(outcome))
    if rows.is_empty():
        known = list(dict.fromkeys(name for t in trials for name in (t.metrics or {})["scores"]))
        raise UserError(
            f"figure '{figure.title}': score={figure.score}{nearest(name, known)} Scores: {', '.join(known)}"
        )
    if answers.join(rows, on=["trial", "score"], how="semi")["accuracy"].null_count():
        raise UserError(
            f"figure '{figure.title}': score={figure.score}: its trials do not record how completions ended"
        )
    if outcome != "accuracy":
        means = answers.group_by("trial", "score").agg(pl.col("accuracy").mean())
        rows = rows.drop("accuracy").join(means, on=["trial", "score"], maintain_order="left")
    rows = rows.with_columns(x=pl.col(figure.x), line=_line(figure))
    points = summary(rows, answers, ["x", "line"], seeds)
    joined = answers.join(rows.select("trial", "score", "x", "line", *seeds), on=["trial", "score"])
    levels = _ordered(points["x"].to_list(), block.factors().get(figure.x, ()))
    scale = _scale(levels)
    if scale == "category":
        levels = [_text(level, figure.x) for level in levels]
        points, joined = (
            part.with_columns(pl.col("x").cast(pl.String).fill_null(_text(None, figure.x)))
            for part in (points, joined)
        )
    lines_present = [line for line in points["line"] if line != UNTRAINED]
    lines = _ordered(
        lines_present, [_text(level, figure.line) for level in block.factors().get(figure.line, ())]
    )
    lines = lines or [UNTRAINED]
    return FigureData(
        figure=figure,
        points=points,
        answers=_of_trainings(joined, seeds[0]),
        lines=lines,
        levels=levels,
        scale=scale,
        word=score_word(trials, figure.score) if outcome == "accuracy" else "share finished",
        over=axis(seeds[0]),
    )


def _of_trainings(answers: pl.DataFrame, over: str) -> pl.DataFrame:
    """Mean accuracy of each problem in each training: rows that agree in `over` and seed are averaged."""
    training = pl.lit(0, pl.Int64) if over == "seed" else pl.col("seed")
    named = answers.with_columns(training=training, seed=pl.col(over))
    by = [name for name in ("x", "line", "seed", "training", "problem", "cluster") if name in named.columns]
    return named.group_by(by, maintain_order=True).agg(pl.col("accuracy").mean())


def _line(figure: Figure) -> pl.Expr:
    if figure.line == ALL:
        return pl.lit(ALL)
    line = pl.col(figure.line).cast(pl.String).fill_null(_text(None, figure.line))
    if figure.x == SIZE and figure.line.startswith("select."):
        return pl.when(pl.col(SIZE) == 0).then(pl.lit(UNTRAINED)).otherwise(line)
    return line


def _text(level: Any, key: str) -> str:
    """A level as the tables' columns have it."""
    if level is None:
        return level_text(None, key)
    return str(level).lower() if isinstance(level, bool) else str(level)


def _ordered(levels: Sequence[Any], declared: Sequence[Any]) -> list[Any]:
    """The distinct values of `levels`, declared ones first and in their order."""
    return [level for level in dict.fromkeys([*declared, *levels]) if level in levels]


def _scale(levels: Sequence[Any]) -> Literal["log", "linear", "category"]:
    if not all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels):
        return "category"
    positive = [level for level in levels if level > 0]
    if min(levels) >= 0 and len(positive) > 1 and max(positive) / min(positive) >= LOG_RATIO:
        return "log"
    return "linear"


FEWEST = 3
"""Minimum number of sizes for a fitted curve: with two, all forms fit equally well."""


@dataclass(frozen=True, slots=True)
class Fits:
    curves: dict[str, Curve]
    """Line -> curve, for lines run at all of `sizes`, in the figure's order."""
    sizes: list[float]
    """Above 0, ascending."""

    def ranked(self) -> list[tuple[str, Curve]]:
        """Lines and curves by fitted accuracy at the largest size, highest first."""
        return sorted(self.curves.items(), key=lambda named: -float(named[1].fitted[-1]))

    def neighbours(self) -> list[tuple[str, str]]:
        """(better, other) for each pair of adjacent lines in the figure's order; the better one has the
        higher accuracy at the largest size."""
        height = {line: float(curve.fitted[-1]) for line, curve in self.curves.items()}
        return [(a, b) if height[a] > height[b] else (b, a) for a, b in pairwise(self.curves)]


def fit_lines(answers: pl.DataFrame, lines: Sequence[str]) -> Fits | None:
    """Curves fitted to the largest full grid of sizes and lines, over the trainings that all its cells have.

    `answers` are those of a figure over amounts. None with too few sizes.
    """
    grid = full_grid(answers.filter(pl.col("x") > 0, pl.col("line").is_in(lines)))
    if not grid:
        return None
    sizes, kept = sorted(levels(grid, "x")), [line for line in lines if line in levels(grid, "line")]
    values = grid.common(np.ones(len(grid.cells)))
    if len(sizes) < FEWEST or not values.shape[1] or grid.units < 2:
        return None
    order = [[grid.cells.index((size, line)) for size in sizes] for line in kept]
    curves = fit_curves(np.array(sizes, dtype=float), values[np.array(order)], clusters=grid.clusters)
    return Fits(dict(zip(kept, curves, strict=True)), [float(size) for size in sizes])


def full_grid(answers: pl.DataFrame) -> Cube | None:
    """The largest full grid of `x` and `line`, on the problems that all its cells answered; None if fewer
    than two."""
    points = answers.select("x", "line", "seed", "training").unique(maintain_order=True)
    points = points.with_columns(name=pl.row_index().cast(pl.String))
    named = answers.join(points, on=points.columns[:-1], nulls_equal=True)
    wide = named.pivot("name", index="problem", values="accuracy", maintain_order=True).drop_nulls()
    if wide.height < 2:
        return None
    places = {name: ((x, line), seed, training) for x, line, seed, training, name in points.rows()}
    over = "seed" if points["training"].n_unique() == 1 else "draw"
    return complete_grid(build_cube(("x", "line"), places, wide, answers, over))
