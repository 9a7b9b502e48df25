"""What is said of a declared figure: how many examples do most of it, what more of them give, what falls."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from limo_ablate.analysis.curves import Decline
from limo_ablate.report.efficiency.gains import declines
from limo_ablate.report.figure_data import Fits
from limo_ablate.report.figure_findings import _knee, finding
from limo_ablate.report.study_view import load
from tests.made_study import Making

SIZES = {0: 0.1, 4: 0.3, 16: 0.85, 64: 0.9}
FIGURE = {"title": "T", "block": "b", "x": "select.size", "line": "select.quality", "score": "mini"}


def said(folder: Path, accuracy: dict[int, float], quality: list[str]) -> str:
    block = {
        "name": "b",
        "design": "factorial",
        "axes": {"select.size": list(accuracy), "select.quality": quality},
        "overrides": ["model=mini_m", "select.difficulty=any"],
    }
    made = Making(
        folder,
        blocks=[block],
        figures=[FIGURE],
        seeds=[0, 1, 2],
        accuracy=lambda asked: accuracy[asked["select.size"]] * (asked.get("select.quality", "L4") == "L4"),
    )
    view = load(made.write())
    (shown,) = view.data(view.figures[0])
    return finding(shown)


def test_the_size_that_does_most_of_it_and_what_more_gives(tmp_path: Path) -> None:
    text = said(tmp_path, SIZES, ["L1", "L4"])
    assert text.startswith("L4 reaches 8"), text
    assert " % with 16 training examples (" in text
    assert " % before fine-tuning); from there to 64: " in text
    assert " At the end of the other lines: L1 " in text
    assert "Declines" not in text


def test_a_decline_is_said(tmp_path: Path) -> None:
    text = said(tmp_path, {4: 0.4, 16: 0.9, 64: 0.6}, ["L4"])
    assert text.startswith("L4 reaches "), text
    assert " % with 16 training examples (" in text
    assert "; from there to 64: -" in text
    assert " points [-" in text
    assert "Declines: L4 loses " in text


def test_one_of_several_lines_that_falls_by_chance_is_no_decline() -> None:
    """p = 0.04 of one of five lines is what chance gives in one of five figures."""

    def fits(*p: float) -> Fits:
        curves = {f"L{n}": SimpleNamespace(decline=Decline(4, 0.01, value)) for n, value in enumerate(p)}
        return cast("Fits", SimpleNamespace(curves=curves, sizes=[4.0, 16.0]))

    assert declines(fits(0.04, 0.5, 0.5, 0.5, 0.5)) == "No line falls significantly."
    assert declines(fits(0.005, 0.5, 0.5)) == "Declines: L0 loses 1.0 points from 4 to 16 (adjusted p 0.015)."


def test_a_line_without_a_curve_starts_at_its_first_size(tmp_path: Path) -> None:
    text = said(tmp_path, {0: 0.1, 4: 0.3, 64: 0.9}, ["L4"])
    assert text.startswith("L4 goes from "), text
    assert " % with 4 to " in text
    assert " % with 64 training examples (" in text


@pytest.mark.parametrize(
    ("first", "means", "place"),
    [(0.1, [0.3, 0.85, 0.9], 1), (0.3, [0.3, 0.3], 0), (0.5, [0.4, 0.45], 1), (0.0, [0.1, 0.9, 0.2], 1)],
)
def test_most_of_a_rise(first: float, means: list[float], place: int) -> None:
    assert _knee(first, means) == place
