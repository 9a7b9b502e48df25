"""The matrix of cells and problems: order, what tells cells apart, how little is drawn of much."""

from pathlib import Path

import numpy as np

from limo_ablate.report.health.matrix import RECTANGLES, Matrix, discrimination, matrix, matrix_chart, section
from limo_ablate.report.study_view import load
from tests.made_study import SIZE_QUALITY, Making


def test_best_cells_are_on_top_and_easy_problems_on_the_left(tmp_path: Path) -> None:
    made = matrix(load(Making(tmp_path, blocks=[SIZE_QUALITY], figures=[]).write()), "mini")
    assert made
    assert made.cells[0].startswith("256")
    assert (np.diff(made.accuracy.mean(axis=1)) < 1e-9).all()
    assert (np.diff(made.accuracy.mean(axis=0)) < 1e-9).all()


def test_a_problem_that_follows_the_rest_discriminates_and_one_that_all_solve_does_not() -> None:
    accuracy = np.array([[1, 1, 1, 0], [0, 1, 1, 1], [0, 1, 0, 1]], dtype=float)
    found = discrimination(accuracy)
    assert np.isnan(found[1])
    assert found[0] == np.corrcoef(accuracy[:, 0], accuracy[:, 1:].mean(axis=1))[0, 1]


def test_many_cells_and_problems_are_few_rectangles() -> None:
    rng = np.random.default_rng(0)
    made = Matrix("m", [f"c{i}" for i in range(450)], [f"p{i}" for i in range(500)], rng.random((450, 500)))
    spec = matrix_chart(made, RECTANGLES).to_dict()
    rows = next(data for data in spec["datasets"].values() if "accuracy" in data[0])
    assert len(rows) <= 200
    assert len(rows) * len(rows[0]["accuracy"]) <= RECTANGLES
    assert abs(np.mean(rows[0]["accuracy"]) / 100 - made.accuracy[0].mean()) < 0.01


def test_what_nobody_and_what_everybody_solves_is_counted(tmp_path: Path) -> None:
    made = section(load(Making(tmp_path, figures=[], seeds=[0], accuracy=lambda _: 9.0, spread=0).write()))
    assert made
    assert "0 are solved by no cell, 60 by every cell every time" in made.charts[0].finding


def test_two_cells_are_called_both_and_their_correlation_is_not_shown(tmp_path: Path) -> None:
    block = {**SIZE_QUALITY, "axes": {"select.size": [4, 64], "select.quality": ["L4"]}}
    made = section(load(Making(tmp_path, blocks=[block], figures=[], seeds=[0]).write()))
    assert made
    (chart,) = made.charts
    assert "solved by neither cell" in chart.finding
    assert "by both cells every time" in chart.finding
    assert chart.table
    assert chart.table.header == ["problem", "level", "64 (%)", "4 (%)"]
    first, last = chart.table.rows[0], chart.table.rows[-1]
    assert abs(float(first[2]) - float(first[3])) == 100 >= abs(float(last[2]) - float(last[3]))
