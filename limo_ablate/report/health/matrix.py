"""Which cells solve which problems: a matrix of accuracies, both sides in order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import altair as alt
import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.report.health.groups import APART, groups
from limo_ablate.report.labels import axis, percent
from limo_ablate.report.section import Chart, Section, Table, slug
from limo_ablate.report.study_view import StudyView

RECTANGLES = 6000
"""Drawn on the page, over all benchmarks: a browser draws so many at once."""
CELLS = 200
"""Rows drawn; of more cells, every so many."""
FEWEST = 12
"""Columns at least."""
BENCHMARKS = 4
"""Matrices drawn: the study's first benchmarks."""
LISTED = 25
ROW, TALLEST = 16, 640
"""Pixels of a row, and of all of them."""
SEAM = 0.08
"""Share of a column by which it lies under the next one, so that no line shows between them."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Matrix:
    """One benchmark: cells, best first, by problems, easiest first."""

    score: str
    cells: list[str]
    problems: list[str]
    accuracy: Array
    """(cells, problems), over seeds and samples."""


def section(view: StudyView) -> Section | None:
    """A matrix for each benchmark; None without results."""
    names = [score for score in view.scores if "/" not in score][:BENCHMARKS]
    found = [made for name in names if (made := matrix(view, name))]
    if not found:
        return None
    named = f"Cells are named by {APART.join(map(axis, view.keys))}." if view.keys else ""
    drawn = [_drawn(made, RECTANGLES // len(found), _levels(view, made.score), named) for made in found]
    return Section("matrix", "Problem by problem", charts=tuple(drawn))


def matrix(view: StudyView, score: str) -> Matrix | None:
    """The counted cells by the problems that all of them answered; None where there are no such."""
    cells = {trial.name: cell for cell, trials in groups(view).trials.items() for trial in trials}
    named = pl.DataFrame({"trial": list(cells), "cell": list(cells.values())})
    rows = view.answers.filter(pl.col("score") == score).join(named, on="trial")
    means = rows.group_by("cell", "problem", maintain_order=True).agg(pl.col("accuracy").mean())
    wide = means.pivot("cell", index="problem", values="accuracy", maintain_order=True).drop_nulls()
    if wide.is_empty():
        return None
    accuracy, names = wide.drop("problem").to_numpy().T, np.array(wide.columns[1:])
    best = np.argsort(-accuracy.mean(axis=1), kind="stable")
    easiest = np.argsort(-accuracy.mean(axis=0), kind="stable")
    problems = wide["problem"].gather(easiest.tolist()).to_list()
    return Matrix(score, names[best].tolist(), problems, accuracy[best][:, easiest])


def discrimination(accuracy: Array) -> Array:
    """(problems,) correlation over cells of a problem's accuracy with that on all others (item-rest); NaN
    where the problem, or the rest, is the same for all cells.
    """
    rest = (accuracy.sum(axis=1, keepdims=True) - accuracy) / max(1, accuracy.shape[1] - 1)
    a, b = (part - part.mean(axis=0) for part in (accuracy, rest))
    spread = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 1e-12, (a * b).sum(axis=0) / spread, np.nan)


def matrix_chart(made: Matrix, rectangles: int) -> alt.Chart:
    """Rectangles in the colour of the accuracy; neighbouring problems share one where they are too many."""
    cells = made.cells[:: every(made)]
    shown, width = _binned(made.accuracy[:: every(made)], rectangles)
    rows = pl.DataFrame(
        {"cell": cells, "accuracy": [[round(100 * value) for value in row] for row in shown.tolist()]}
    )
    count, last = len(made.problems), shown.shape[1]
    names = [_span(made.problems[i * width : (i + 1) * width]) for i in range(last)]
    labels = pl.DataFrame({"place": range(1, last + 1), "problem": names})
    chart = (
        alt.Chart(rows)
        .mark_rect()
        .transform_flatten(["accuracy"])
        .transform_window(place="row_number()", groupby=["cell"])
        .transform_lookup("place", alt.LookupData(labels, "place", ["problem"]))
        .transform_calculate(
            start=f"(datum.place - 1) * {width}", end=f"min({count}, (datum.place + {SEAM}) * {width})"
        )
    )
    height = min(ROW * len(cells), TALLEST) + 10
    size = min(12, max(8, height // len(cells)))
    legible = alt.Axis(labelLimit=140, labelFontSize=size, labelOverlap="greedy")
    places = alt.Axis(grid=False, tickCount=6, tickMinStep=1, format="d")
    shades = alt.Legend(gradientLength=140, tickCount=3)
    drawn: alt.Chart = chart.encode(
        x=alt.X("start:Q", title=f"problems of {made.score}, easiest first", axis=places,
                scale=alt.Scale(domain=[0, count], nice=False)),
        x2="end:Q",
        y=alt.Y("cell:N", sort=None, title=None, axis=legible, scale=alt.Scale(padding=0)),
        color=alt.Color("accuracy:Q", title="accuracy (%)", legend=shades, scale=alt.Scale(domain=[0, 100])),
        tooltip=["cell:N", "problem:N", alt.Tooltip("accuracy:Q", title="accuracy (%)")],
    ).properties(height=height)  # fmt: skip
    return drawn


def every(made: Matrix) -> int:
    """Of the cells, each so many is drawn."""
    return -(-len(made.cells) // CELLS)


def _binned(accuracy: Array, rectangles: int) -> tuple[Array, int]:
    """Means of so many neighbouring problems that there are no more than `rectangles`, and how many."""
    cells, problems = accuracy.shape
    width = math.ceil(problems / max(FEWEST, rectangles // cells))
    starts = np.arange(0, problems, width)
    return np.add.reduceat(accuracy, starts, axis=1) / np.diff([*starts, problems]), width


def _span(problems: list[str]) -> str:
    first, last = problems[0], problems[-1]
    return first if len(problems) == 1 else f"{len(problems)} problems, {first} to {last}"


def _drawn(made: Matrix, rectangles: int, levels: dict[str, float | None], named: str) -> Chart:
    cells = len(made.cells[:: every(made)])
    width = _binned(made.accuracy[:: every(made)], rectangles)[1]
    note = "A row is a cell, best on top; a column is a problem, easiest first; the colour is the accuracy "
    note += f"over seeds and samples. {named}"
    if width > 1:
        note += f" A column is the mean of {width} problems that lie next to each other."
    if cells < len(made.cells):
        note += f" {cells} of {len(made.cells)} cells are drawn."
    return Chart(
        slug(f"problems of {made.score}"),
        f"Problems of {made.score} by cell",
        _finding(made),
        note,
        matrix_chart(made, rectangles).to_dict(),
        _table(made, levels),
    )


def _finding(made: Matrix) -> str:
    means = made.accuracy.mean(axis=0)
    nobody, everybody = int((means == 0).sum()), int((means == 1).sum())
    return f"Of {len(means)} problems, no cell solves {nobody}; every cell solves {everybody} every time."


def _levels(view: StudyView, score: str) -> dict[str, float | None]:
    verdicts = pl.scan_parquet(view.done[0].folder / "verdicts.parquet")
    rows = verdicts.filter(pl.col("benchmark") == score).select("problem", "level").unique().collect()
    return dict(rows.iter_rows())


def _table(made: Matrix, levels: dict[str, float | None]) -> Table:
    tells, means = discrimination(made.accuracy), made.accuracy.mean(axis=0)
    solved = (made.accuracy >= 0.5).sum(axis=0)
    order = np.argsort(-np.nan_to_num(tells, nan=-2.0), kind="stable").tolist()
    rows = [
        [
            made.problems[place],
            "–" if (level := levels.get(made.problems[place])) is None else f"{level:g}",
            percent(float(means[place])),
            "–" if np.isnan(tells[place]) else f"{tells[place]:.2f}",
            f"{solved[place]} of {len(made.cells)}",
        ]
        for place in order[:LISTED]
    ]
    header = ["problem", "level", "accuracy (%)", "discrimination", "cells that solve it"]
    notes = [
        f"The {len(rows)} problems that tell cells apart best. Discrimination: the correlation, over cells, "
        "of the accuracy on a problem with that on all others. A cell solves a problem with half or more of "
        "its answers. All of them: trials/*/verdicts.parquet."
    ]
    return Table(header, rows, 1, notes)
