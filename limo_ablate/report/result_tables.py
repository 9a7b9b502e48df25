"""The table of all cells, and the table behind each declared figure."""

from __future__ import annotations

import polars as pl

from limo_ablate.report.figure_data import UNTRAINED, FigureData
from limo_ablate.report.labels import axis, level, percent, plus_minus
from limo_ablate.report.section import Table
from limo_ablate.report.study_view import StudyView

SHARES = ("boxed", "lenient", "no_answer", "undecided", "truncated")


def cell_table(view: StudyView) -> Table:
    """A row for each cell: mean ± standard error over seeds and problems for each score; shares and tokens
    for the main score."""
    cells = view.cells
    main, *others = view.scores
    header = [*map(axis, view.keys), "seeds", f"{main} ± se", "95 % interval", *(f"{o} ± se" for o in others)]
    health = [name for name in (*SHARES, "tokens") if cells[name].is_not_null().any()]
    header += [name.replace("_", " ") for name in health]
    rest = {name: cells.filter(pl.col("score") == name) for name in others}
    rows = []
    for row in cells.filter(pl.col("score") == main).iter_rows(named=True):
        levels = {key: row[key] for key in view.keys}
        rows.append(
            [
                *view.levels(row),
                str(row["seeds"]),
                plus_minus(row["mean"], row["stderr"]),
                interval(row["low"], row["high"]),
                *(_score(rest[name], levels) for name in others),
                *(f"{row[name]:.0f}" if name == "tokens" else percent(row[name]) for name in health),
            ]
        )
    return Table(header, rows, len(view.keys))


def _score(cells: pl.DataFrame, levels: dict[str, object]) -> str:
    matches = cells.filter(*(pl.col(key).eq_missing(pl.lit(value)) for key, value in levels.items()))
    return plus_minus(matches["mean"][0], matches["stderr"][0]) if matches.height else "–"


def interval(low: float, high: float) -> str:
    return f"{percent(low)} to {percent(high)}"


def figure_table(data: FigureData) -> Table:
    """The points of a figure, with standard errors over seeds and over problems."""
    header = [axis(data.figure.line), axis(data.figure.x), "seeds", f"{data.word} ± se", "95 % interval"]
    header += ["se over seeds", "se over problems", "boxed", "lenient"]
    rows = [
        [
            row["line"],
            level(row["x"], data.figure.x),
            str(row["seeds"]),
            plus_minus(row["mean"], row["stderr"]),
            interval(row["low"], row["high"]),
            percent(row["seed_error"]),
            percent(row["item_error"]),
            percent(row["boxed"]),
            percent(row["lenient"]),
        ]
        for line in dict.fromkeys([UNTRAINED, *data.lines])
        for row in data.points.filter(pl.col("line") == line).sort("x").iter_rows(named=True)
    ]
    return Table(header, rows, 1)
