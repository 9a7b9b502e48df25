"""What follows from the fitted curves, against planted ones: sizes needed, gains, equivalence, bounds."""

from pathlib import Path

import pytest

from limo_ablate.report.efficiency.bounded import BoundedEstimate
from limo_ablate.report.efficiency.curves import section
from limo_ablate.report.efficiency.needed import targets
from limo_ablate.report.section import Chart
from limo_ablate.report.study_view import StudyView, load
from tests.made_study import DIFFICULTY, FIGURES, Making

BLOCK = {
    "name": "size x quality",
    "axes": {"select.size": [4, 8, 16, 32, 64, 128, 256], "select.quality": ["L1", "L3", "L5"]},
    "overrides": ["model=mini_m", "select.difficulty=any"],
}


def planted(asked: dict) -> float:
    """L5 needs a quarter of what L3 needs; L1 learns nothing."""
    if asked["select.quality"] == "L1":
        return 0.02
    half = {"L3": 64, "L5": 16}[asked["select.quality"]]
    return 0.9 * asked["select.size"] / (asked["select.size"] + half)


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> StudyView:
    folder = tmp_path_factory.mktemp("study")
    made = Making(folder, blocks=[BLOCK], figures=[FIGURES[0]], accuracy=planted, spread=0.002, problems=400)
    return load(made.write())


def drawn(view: StudyView, end: str) -> Chart:
    found = section(view)
    assert found
    return next(picture for picture in found.charts if picture.id.endswith(end))


def number(text: str) -> float:
    return float(text.split(" ")[0].replace(",", ""))


def test_the_better_line_needs_a_quarter(view: StudyView) -> None:
    table = drawn(view, "needed").table
    assert table
    row = next(row for row in table.rows if row[0] == "L3 at 256")
    assert number(row[4]) == pytest.approx(64, rel=0.25)
    assert row[2] == "> 256"


def test_equivalence_is_the_planted_ratio(view: StudyView) -> None:
    table = drawn(view, "equivalence").table
    assert table
    row = next(row for row in table.rows if row[:2] == ["L5", "L3"])
    assert number(row[-1]) == pytest.approx(4, rel=0.25)
    assert number(row[-2]) == pytest.approx(4, rel=0.25)


def test_gain_between_two_sizes_is_the_planted_one_and_flat_lines_are_left_out(view: StudyView) -> None:
    picture = drawn(view, "gain")
    assert picture.table
    row = next(row for row in picture.table.rows if row[0] == "L5")
    wanted = 100 * 0.9 * (32 / 48 - 16 / 32)
    assert number(row[1 + picture.table.header[1:].index("16 to 32")]) == pytest.approx(wanted, abs=8)
    assert "L1" in picture.note


def test_targets_are_what_rising_lines_reach(view: StudyView) -> None:
    (data,) = view.data(view.figures[0])
    assert data.fits
    assert [goal.line for goal in targets(data, data.fits)] == ["L5", "L3"]


def test_the_form_with_the_smallest_held_out_error_is_taken(view: StudyView) -> None:
    found = section(view)
    assert found
    assert found.table
    for _, line, form, *errors in found.table.rows:
        forms = [name.partition(", ")[2] for name in found.table.header[3:]]
        assert float(errors[forms.index(form)]) == min(map(float, errors)), line


def test_a_single_line_has_shares_of_its_own_end_as_targets(tmp_path: Path) -> None:
    block = {**BLOCK, "axes": {"select.size": [100, 200, 400, 800], "select.quality": ["L5"]}}
    view = load(
        Making(
            tmp_path, blocks=[block], figures=[FIGURES[0]], seeds=[0], accuracy=planted, problems=200
        ).write()
    )
    (data,) = view.data(view.figures[0])
    assert data.fits
    assert targets(data, data.fits)[0].label == "95 % of L5 at 800"
    found = section(view)
    assert found
    assert [picture.id.rpartition("-")[2] for picture in found.charts] == ["needed", "gain"]


def test_a_study_without_sizes_has_no_section(tmp_path: Path) -> None:
    assert (
        section(load(Making(tmp_path, blocks=[DIFFICULTY], figures=[FIGURES[1]], seeds=[0]).write())) is None
    )


@pytest.mark.parametrize(
    ("numbers", "text", "kind"),
    [
        ((20.0, 10.0, 30.0), "20 [10, 30]", "measured"),
        ((0.0, 0.0, 0.0), "≤ 4", "at most"),
        ((float("inf"), 100.0, float("inf")), "> 256 [100, > 256]", "at least"),
        ((7.6, 0.0, 13.0), "7.6 [≤ 4, 13]", "measured"),
    ],
)
def test_what_lies_beyond_the_sizes_is_a_bound(numbers: tuple, text: str, kind: str) -> None:
    found = BoundedEstimate(*numbers, 4, 256)
    assert found.text() == text
    row = found.row()
    assert row["kind"] == kind
    assert 4 <= row["low"] <= row["value"] <= row["high"] <= 256
