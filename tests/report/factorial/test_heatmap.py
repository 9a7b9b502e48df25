"""The heatmap of two axes: every cell once, interactions where they were planted."""

from pathlib import Path

import pytest

from limo_ablate.report.factorial.heatmap import heatmap_table, section
from limo_ablate.report.study_view import StudyView, load
from tests.made_study import DIFFICULTY, FIGURES, SIZE_QUALITY, Making

BLOCK = {**SIZE_QUALITY, "axes": {"select.size": [0, 4, 64], "select.quality": ["L3", "L5"]}}


def planted(asked: dict) -> float:
    """Both add up, but for 40 points where size 64 and L5 meet."""
    if not asked["select.size"]:
        return 0.1
    both = asked["select.size"] == 64 and asked["select.quality"] == "L5"
    return 0.2 + 0.1 * (asked["select.size"] == 64) + 0.1 * (asked["select.quality"] == "L5") + 0.4 * both


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> StudyView:
    folder = tmp_path_factory.mktemp("study")
    made = Making(folder, blocks=[BLOCK], figures=[FIGURES[0]], accuracy=planted, spread=0.001, problems=300)
    return load(made.write())


def test_every_cell_is_there_once_without_the_untrained_base(view: StudyView) -> None:
    (data,) = view.data(view.figures[0])
    cells = heatmap_table(data)
    assert sorted(cells.select("line", "x").rows()) == [("L3", "4"), ("L3", "64"), ("L5", "4"), ("L5", "64")]
    means = dict(zip(zip(cells["line"], cells["x"], strict=True), cells["mean"], strict=True))
    assert means["L5", "64"] == pytest.approx(0.8, abs=0.06)


def test_the_planted_interaction_is_seen_with_its_sign(view: StudyView) -> None:
    (data,) = view.data(view.figures[0])
    signs = {(row["line"], row["x"]): row["sign"] for row in heatmap_table(data).iter_rows(named=True)}
    assert float(signs["L5", "64"]) == pytest.approx(10, abs=3)  # a quarter of 40 points
    assert float(signs["L3", "64"]) == pytest.approx(-10, abs=3)


def test_the_base_is_named_in_the_note_and_intervals_stand_in_the_table(view: StudyView) -> None:
    found = section(view)
    assert found
    (picture,) = found.charts
    assert "untrained" in picture.note
    assert picture.table
    assert all(" to " in row[3] for row in picture.table.rows)


def test_one_line_is_no_heatmap(tmp_path: Path) -> None:
    assert (
        section(load(Making(tmp_path, blocks=[DIFFICULTY], figures=[FIGURES[1]], seeds=[0]).write())) is None
    )


def test_one_seed_and_a_missing_cell_are_drawn(tmp_path: Path) -> None:
    made = Making(
        tmp_path, blocks=[SIZE_QUALITY], figures=[FIGURES[0]], seeds=[0],
        failing=lambda asked, seed: asked["select.size"] == 16 and asked["select.quality"] == "L2",
    )  # fmt: skip
    found = section(load(made.write()))
    assert found
    assert found.charts[0].table
    assert len(found.charts[0].table.rows) == 19
