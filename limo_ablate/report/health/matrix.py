"""Section with the accuracy of each cell on each problem, as a matrix in order of both means."""

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
"""Maximum number of rectangles on the page, over all benchmarks: more would slow down the browser."""
CELLS = 200
"""Maximum number of rows; of more cells, every n-th is drawn."""
FEWEST = 12
"""Minimum number of columns."""
BENCHMARKS = 4
"""Maximum number of matrices: the study's first benchmarks."""
FEWEST_CELLS = 3
"""Minimum number of cells for a correlation over them."""
LISTED = 25
ROW, TALLEST = 16, 640
"""Height in pixels of a row, and at most of the plot."""
SEAM = 0.08
"""Overlap of neighbouring columns, as a share of their width, so that no gap shows between them."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Accuracies on one benchmark: cells, best first, by problems, easiest first."""

    score: str
    cells: list[str]
    problems: list[str]
    accuracy: Array
    """(cells, problems) means over seeds and samples."""
    word: str = "accuracy"
    """What they are called: `accuracy` or `score`."""


def section(view: StudyView) -> Section | None:
    """A matrix for each benchmark; None without finished trials."""
    names = [score for score in view.scores if "/" not in score][:BENCHMARKS]
    matrices = [one for name in names if (one := matrix(view, name))]
    if not matrices:
        return None
    named = f"Cells are named by {APART.join(map(axis, view.keys))}." if view.keys else ""
    charts = [
        _matrix_chart(one, RECTANGLES // len(matrices), _levels(view, one.score), named) for one in matrices
    ]
    return Section("matrix", "Problem by problem", charts=tuple(charts))


def matrix(view: StudyView, score: str) -> Matrix | None:
    """The counted cells on the problems that all of them answered; None if there are none."""
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
    return Matrix(score, names[best].tolist(), problems, accuracy[best][:, easiest], view.word(score))


def discrimination(accuracy: Array) -> Array:
    """(problems,) item-rest correlation over cells: of the accuracy on a problem with that on all others; NaN
    if either is constant over cells.
    """
    rest = (accuracy.sum(axis=1, keepdims=True) - accuracy) / max(1, accuracy.shape[1] - 1)
    a, b = (part - part.mean(axis=0) for part in (accuracy, rest))
    spread = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 1e-12, (a * b).sum(axis=0) / spread, np.nan)


def matrix_chart(matrix: Matrix, rectangles: int) -> alt.Chart:
    """Rectangles coloured by accuracy; neighbouring problems are averaged if there are too many."""
    cells = matrix.cells[:: every(matrix)]
    shown, width = _binned(matrix.accuracy[:: every(matrix)], rectangles)
    rows = pl.DataFrame(
        {"cell": cells, "accuracy": [[round(100 * value) for value in row] for row in shown.tolist()]}
    )
    count, last = len(matrix.problems), shown.shape[1]
    names = [_span(matrix.problems[i * width : (i + 1) * width]) for i in range(last)]
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
    title = f"{matrix.word} (%)"
    shades = alt.Legend(gradientLength=140, tickCount=3)
    sized: alt.Chart = chart.encode(
        x=alt.X("start:Q", title=f"problems of {matrix.score}, easiest first", axis=places,
                scale=alt.Scale(domain=[0, count], nice=False)),
        x2="end:Q",
        y=alt.Y("cell:N", sort=None, title=None, axis=legible, scale=alt.Scale(padding=0)),
        color=alt.Color("accuracy:Q", title=title, legend=shades, scale=alt.Scale(domain=[0, 100])),
        tooltip=["cell:N", "problem:N", alt.Tooltip("accuracy:Q", title=title)],
    ).properties(height=height)  # fmt: skip
    return sized


def every(matrix: Matrix) -> int:
    """Step between drawn cells: 1 if all are drawn."""
    return -(-len(matrix.cells) // CELLS)


def _binned(accuracy: Array, rectangles: int) -> tuple[Array, int]:
    """Means over neighbouring problems, so that at most `rectangles` are drawn; and how many are averaged."""
    cells, problems = accuracy.shape
    width = math.ceil(problems / max(FEWEST, rectangles // cells))
    starts = np.arange(0, problems, width)
    return np.add.reduceat(accuracy, starts, axis=1) / np.diff([*starts, problems]), width


def _span(problems: list[str]) -> str:
    first, last = problems[0], problems[-1]
    return first if len(problems) == 1 else f"{len(problems)} problems, {first} to {last}"


def _matrix_chart(matrix: Matrix, rectangles: int, levels: dict[str, float | None], named: str) -> Chart:
    cells = len(matrix.cells[:: every(matrix)])
    width = _binned(matrix.accuracy[:: every(matrix)], rectangles)[1]
    note = "Rows are cells, best first; columns are problems, easiest first; colour is the mean "
    note += f"{matrix.word} over seeds and samples. {named}"
    if width > 1:
        note += f" Each column is the mean of {width} neighbouring problems."
    if cells < len(matrix.cells):
        note += f" {cells} of {len(matrix.cells)} cells are drawn."
    return Chart(
        slug(f"problems of {matrix.score}"),
        f"Problems of {matrix.score} by cell",
        _finding(matrix),
        note,
        matrix_chart(matrix, rectangles).to_dict(),
        _table(matrix, levels),
    )


def _finding(matrix: Matrix) -> str:
    means, cells = matrix.accuracy.mean(axis=0), len(matrix.cells)
    unsolved, always = int((means == 0).sum()), int((means == 1).sum())
    if matrix.word == "score":
        every = {1: "the only cell", 2: "both cells"}.get(cells, "all cells")
        return f"Of {len(means)} problems, {unsolved} have a score of 0 in {every}, {always} the full score."
    if cells == 1:
        return f"Of {len(means)} problems, the only cell never solves {unsolved}, and always {always}."
    none, every = ("neither cell", "both cells") if cells == 2 else ("no cell", "every cell")
    return f"Of {len(means)} problems, {unsolved} are solved by {none}, {always} by {every} every time."


def _levels(view: StudyView, score: str) -> dict[str, float | None]:
    first = next(trial for trial in view.done if score in (trial.metrics or {})["scores"])
    verdicts = pl.scan_parquet(first.folder / "verdicts.parquet")
    rows = verdicts.filter(pl.col("benchmark") == score).select("problem", "level").unique().collect()
    return dict(rows.iter_rows())


def _table(matrix: Matrix, levels: dict[str, float | None]) -> Table:
    """With one cell or two a correlation over them says nothing: problems by how much the cells differ."""
    if len(matrix.cells) < FEWEST_CELLS:
        return _differences(matrix, levels)
    discriminations, means = discrimination(matrix.accuracy), matrix.accuracy.mean(axis=0)
    solved = (matrix.accuracy >= 0.5).sum(axis=0)
    order = np.argsort(-np.nan_to_num(discriminations, nan=-2.0), kind="stable").tolist()
    rows = [
        [
            matrix.problems[place],
            _level(levels, matrix.problems[place]),
            percent(float(means[place])),
            "–" if np.isnan(discriminations[place]) else f"{discriminations[place]:.2f}",
            f"{solved[place]} of {len(matrix.cells)}",
        ]
        for place in order[:LISTED]
    ]
    half = ("cells with half of it", "The last column counts the cells whose mean score is at least 0.5.")
    if matrix.word == "accuracy":
        half = ("cells that solve it", "A cell solves a problem if at least half of its answers are correct.")
    header = ["problem", "level", f"{matrix.word} (%)", "discrimination", half[0]]
    notes = [
        f"The {len(rows)} problems that discriminate best between cells. Discrimination: correlation over "
        f"cells of the {matrix.word} on a problem with that on all other problems. {half[1]} "
        "Data: trials/*/verdicts.parquet."
    ]
    return Table(header, rows, 1, notes)


def _differences(matrix: Matrix, levels: dict[str, float | None]) -> Table:
    """The accuracy of each cell, on the problems where they differ most first."""
    apart = np.abs(matrix.accuracy[0] - matrix.accuracy[-1])
    rows = [
        [
            matrix.problems[place],
            _level(levels, matrix.problems[place]),
            *(percent(float(share)) for share in matrix.accuracy[:, place]),
        ]
        for place in np.argsort(-apart, kind="stable").tolist()[:LISTED]
    ]
    order = "those where the cells differ most first" if len(matrix.cells) == 2 else "the easiest first"
    notes = [f"{len(rows)} problems, {order}. Data: trials/*/verdicts.parquet."]
    return Table(["problem", "level", *(f"{cell} (%)" for cell in matrix.cells)], rows, 1, notes)


def _level(levels: dict[str, float | None], problem: str) -> str:
    return "–" if (level := levels.get(problem)) is None else f"{level:g}"
