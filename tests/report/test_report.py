"""The page as a whole: what it says, that it needs no network, that model text stays text."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from limo_ablate.cli import main
from limo_ablate.report.page import json_for_html, write_report
from limo_ablate.report.result_tables import cell_table
from limo_ablate.report.section import slug
from limo_ablate.report.study_view import load
from tests.made_study import DIFFICULTY, FIGURES, Making

HOSTILE = "</pre></script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> \\boxed{99}"  # noqa: E501


def fails(asked: dict, seed: int) -> bool:
    return asked["select.size"] == 16 and asked["select.quality"] == "L3" and seed == 1


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Making(tmp_path_factory.mktemp("study"), completion=HOSTILE, failing=fails, seeds=(0, 1))
    folder = made.write()
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(study: Path) -> str:
    return (study / "report" / "index.html").read_text()


class Reader(HTMLParser):
    """Elements with their attributes, and the text outside of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else self._inside

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.text += data


def test_each_figure_is_on_the_page_and_a_png(study: Path, page: str) -> None:
    pictures = sorted((study / "report").glob("*.png"))
    assert {slug(str(figure["title"])) for figure in FIGURES} < {picture.stem for picture in pictures}
    for picture in pictures:
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert f'id="{picture.stem}"' in page
    charts = re.search(r'<script type="application/json" id="charts">(.*?)</script>', page, re.DOTALL)
    assert charts
    specs = json.loads(charts[1])["specs"]
    assert {p.stem for p in pictures} == specs.keys()


def test_the_page_says_what_the_study_asks_and_what_came_out(study: Path, page: str) -> None:
    text = Reader(page).text
    assert "How many, how good, how hard?" in text
    assert "55 of 56" in text
    (data,) = cell_table(load(study)).rows[4:5]
    for value in data:
        assert value in text
    for figure in FIGURES:
        assert str(figure["title"]) in text
    assert "0123456789ab with uncommitted changes" in text


def test_the_untrained_base_has_no_tier(study: Path) -> None:
    view = load(study)
    tier = view.keys.index("select.quality")
    sizes = {row[view.keys.index("select.size")]: row[tier] for row in cell_table(view).rows}
    assert sizes["0"] == "–"
    assert sizes["64"] == "L4"


def test_a_failed_trial_is_told_with_reason_log_and_command(page: str) -> None:
    text = Reader(page).text
    assert "RuntimeError: out of memory" in text
    assert "trial.log" in text
    assert "limo-ablate x=1" in text


def test_the_page_asks_for_nothing_from_elsewhere(study: Path, page: str) -> None:
    for tag, attributes in Reader(page).elements:
        assert tag not in ("link", "iframe", "img", "object", "embed")
        assert "src" not in attributes
        href = attributes.get("href") or "#"
        assert href.startswith("#") or (study / "report" / href).is_file()
    policy = next(a["content"] for t, a in Reader(page).elements if a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "unsafe-eval" not in policy


def test_no_element_runs_anything_but_the_pages_own_scripts(page: str) -> None:
    elements = Reader(page).elements
    scripts = [attributes for tag, attributes in elements if tag == "script"]
    assert len(scripts) == 4
    assert not any(name.startswith("on") for _, attributes in elements for name in attributes)


def test_data_in_a_script_can_not_end_it() -> None:
    text = json_for_html({"title": HOSTILE})
    assert "<" not in text
    assert json.loads(text) == {"title": HOSTILE}


@pytest.mark.usefixtures("no_pictures")
def test_a_figure_that_can_not_be_drawn_says_so_and_the_others_are(tmp_path: Path) -> None:
    wrong = {**FIGURES[0], "title": "Wrong", "score": "mini/hrad"}
    page = write_report(Making(tmp_path, figures=[wrong, FIGURES[1]], seeds=[0]).write()).page
    text = Reader(page.read_text()).text
    assert "can't be drawn: figure 'Wrong': score=mini/hrad; did you mean mini/hard?" in text
    names = {p.stem for p in page.parent.glob("*.png")}
    assert "hard-problems-by-training-difficulty" in names
    assert "wrong" not in names


def test_a_study_in_which_all_failed_has_a_report(tmp_path: Path) -> None:
    made = Making(tmp_path, seeds=[0])
    page = write_report(replace(made, failing=lambda asked, seed: True).write()).page
    text = Reader(page.read_text()).text
    assert "0 of 28" in text
    assert "None of its trials has a result." in text
    assert "standard errors are" not in text, "there are none"


@pytest.mark.usefixtures("no_pictures")
def test_a_study_without_contrasts_and_figures_says_which_cells_are_highest_and_lowest(
    tmp_path: Path,
) -> None:
    made = Making(tmp_path, blocks=[DIFFICULTY], figures=[], seeds=[0]).write()
    cells = load(made).cells.filter(score="mini").sort("mean")
    said, read = write_report(made).said[1:3]
    assert (
        read == "± standard errors are over problems only: one seed does not show how much trainings differ."
    )
    assert said.startswith("- All cells: of 3 cells on mini the highest has ")
    for row, word in ((cells[-1], "the highest has"), (cells[0], "the lowest")):
        assert f"{word} {100 * row['mean'][0]:.1f} ± " in said


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return Making(tmp_path / "small", blocks=[DIFFICULTY], figures=[FIGURES[1]], seeds=[0]).write()


@pytest.mark.usefixtures("no_pictures")
def test_the_command_takes_a_name_or_a_folder(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = str(small / "report" / "index.html")
    for argument in (str(small), small.name):
        assert main(["report", argument, f"paths.studies={small.parent}"]) == 0
        where, what, *_, title, problem = capsys.readouterr().out.splitlines()
        assert where == page
        assert "each as PNG, SVG and PDF" in what
        assert title == "Problems:"
        assert "more than 5 % completions cut at the token limit" in problem
    assert main(["report", "smal", f"paths.studies={small.parent}"]) == 2
    assert "smal: no such study" in capsys.readouterr().err


def test_drawn_again_the_pictures_are_the_same_and_nothing_old_stays(small: Path) -> None:
    write_report(small)
    names = sorted(path.name for path in (small / "report").iterdir())
    (figure,) = (small / "report").glob("hard-problems*.png")
    first = figure.read_bytes()
    assert figure.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    assert figure.with_suffix(".svg").read_text().startswith("<svg")
    for kind in ("png", "svg", "pdf"):
        (small / "report" / f"an-earlier-title.{kind}").write_bytes(b"")
    write_report(small)
    assert sorted(path.name for path in (small / "report").iterdir()) == names
    assert figure.read_bytes() == first


@pytest.mark.parametrize("wrong", [["--open"], ["another"], ["paths.studies=x", "-m"]])
def test_what_the_command_does_not_know_is_refused_in_a_line(
    study: Path, wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(study), *wrong]) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    assert wrong[-1] in error or wrong[0] in error
