"""The contrasts on the page: what a study declared, and what came out."""

from pathlib import Path

import pytest

from limo_ablate.report.claims import claims, finding
from limo_ablate.report.page import write_report
from limo_ablate.report.study_view import load
from tests.made_study import DIFFICULTY, FIGURES, SIZE_QUALITY, Making

CONTRASTS = [
    {"name": "L5 <beats> L1", "block": "size x quality", "factor": "select.quality", "a": "L1", "b": "L5", "score": "mini"},  # noqa: E501
    {"name": "on another set", "block": "size x quality", "factor": "select.quality", "a": "L1", "b": "L2", "score": "aime", "primary": False},  # noqa: E501
]  # fmt: skip

FIGURE = f"<h2>{FIGURES[0]['title']}"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("claims") / "made"
    axes = {"select.size": [16, 64], "select.quality": ["L1", "L2", "L5"]}
    return Making(
        folder, blocks=[SIZE_QUALITY | {"axes": axes}], figures=FIGURES[:1], contrasts=CONTRASTS
    ).write()


def test_the_page_begins_with_them(study: Path) -> None:
    page = write_report(study).page.read_text()
    first, figure, contrasts = map(page.index, ("<h2>What came out", FIGURE, "<h2>Contrasts"))
    assert first < figure < contrasts
    assert '<li><a href="#claims">L5 &lt;beats&gt; L1</a>: +' in page
    assert ": different. Compared: select.quality L5 against L1 on mini, averaged over select.size=" in page
    assert "on another set (secondary)</a>: no result: score aime: no finished trial" in page
    assert "adjusted p-values by Holm" in page
    assert (study / "report" / "contrasts.png").stat().st_size > 5000


def test_each_is_a_row_with_its_numbers(study: Path) -> None:
    made = claims(load(study))
    assert made is not None
    table = made.section.charts[0].table
    assert table is not None
    assert [row[4] for row in table.rows] == ["different", f"no result: {made.rows['note'][1]}"]
    assert table.rows[0][-1] == "60 × 1 × 3"
    assert {len(row) for row in table.rows} == {len(table.header)}
    assert finding(made.rows.row(0, named=True)).endswith(": different")


@pytest.mark.usefixtures("no_pictures")
def test_a_study_without_any_has_no_such_section(tmp_path: Path) -> None:
    plain = Making(tmp_path / "plain", blocks=[DIFFICULTY], figures=FIGURES[1:2], seeds=[0]).write()
    assert claims(load(plain)) is None
    assert "<h2>Contrasts" not in write_report(plain).page.read_text()
