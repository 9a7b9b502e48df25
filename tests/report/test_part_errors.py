"""A part of the report that raises is named with its error in its place; the others are drawn."""

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from limo_ablate.cli import main
from limo_ablate.core.registry import Entry
from limo_ablate.report import parts, sections
from limo_ablate.report.part_errors import LONGEST, PartErrors
from limo_ablate.report.study_view import StudyView
from limo_ablate.report.wandb import dashboard
from limo_ablate.report.wandb.summary_run import picture_key, summary_run
from tests.made_study import DIFFICULTY, FIGURES, Making
from tests.small_study import QUALITY

CONTRAST = QUALITY | {"block": "difficulty", "factor": "select.difficulty", "a": "easy", "b": "hard"}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return Making(
        tmp_path / "made", blocks=[DIFFICULTY], figures=[FIGURES[1]], contrasts=[CONTRAST], seeds=[0]
    ).write()  # fmt: skip


def raising(error: BaseException) -> Callable[..., Any]:
    def function(*_: Any) -> Any:
        raise error

    return function


def undrawable(monkeypatch: pytest.MonkeyPatch, id: str) -> None:
    """Lets the rendering of one chart fail."""
    render = parts.picture_files
    broken = raising(ValueError("no such mark"))
    monkeypatch.setattr(parts, "picture_files", lambda chart: (broken if chart.id == id else render)(chart))


def test_the_page_names_each_part_that_failed_and_has_all_others(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(f"{__name__}.methods", raising(TypeError("rank is\nNone")), raising=False)
    monkeypatch.setattr(f"{__name__}.lengths", lambda view: "text", raising=False)
    package = Entry(f"{__name__}:lengths", "", package="theirs 1.0")
    changed = {"methods": Entry(f"{__name__}:methods", ""), "lengths": package}
    monkeypatch.setattr(sections.SECTIONS, "builtin", sections.SECTIONS.builtin | changed)
    for name in ("claims", "cell_table", "pack_completions", "recipe", "efficiency_chart"):
        monkeypatch.setattr(parts, name, raising(KeyError(name)))
    undrawable(monkeypatch, "problems-of-mini")
    assert main(["report", str(study)]) == 3
    page = re.sub(r"<[^>]*>", "", unescape((study / "report" / "index.html").read_text()))
    for error in (
        "This part of the report could not be drawn: TypeError: rank is None.",
        f"TypeError: {__name__}:lengths returned str, not a Section",
        *(f"KeyError: '{name}'" for name in ("claims", "cell_table", "pack_completions", "recipe")),
        "This figure can't be drawn: KeyError: 'efficiency_chart'",
        "This chart can't be drawn: ValueError: no such mark",
    ):
        assert error in page
    for drawn in ("avg@n", "Training token accuracy", "3 of 3"):
        assert drawn in page
    printed = capsys.readouterr().err
    assert printed.count("could not draw ") == 8
    assert "could not draw Methods: TypeError: rank is None\n" in printed
    assert "could not draw lengths of theirs 1.0: TypeError: " in printed
    log = (study / "report" / "errors.log").read_text()
    assert log.count("Traceback (most recent call last)") == 8
    assert str(study / "report" / "errors.log") in printed
    assert not (study / "report" / "problems-of-mini.png").exists()
    monkeypatch.undo()
    assert main(["report", str(study)]) == 0
    assert not (study / "report" / "errors.log").exists()


def test_the_dashboard_has_all_other_pictures_and_tables(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("limo_ablate.report.wandb.summary_run._failed", raising(TypeError("no rows")))
    undrawable(monkeypatch, "problems-of-mini")
    monkeypatch.setattr(dashboard, "dashboard", lambda view, track, errors: [summarised(view, errors)])
    assert main(["dashboard", str(study), "track=none"]) == 3
    out, wrong = capsys.readouterr()
    assert "picture/hard_problems_by_training_difficulty" in out
    assert "problems_of_mini" not in out
    assert "could not draw Table failed: TypeError: no rows\n" in wrong
    assert "could not draw Chart 'Problems of mini by cell': ValueError: no such mark\n" in wrong


def summarised(view: StudyView, errors: PartErrors) -> str:
    """What the summary run would log."""
    summary = summary_run(view, errors)
    assert all(summary.file(chart).exists() for chart in summary.pictures)
    assert {"cells", "contrasts"} < summary.tables.keys()
    return " ".join(map(picture_key, summary.pictures))


def test_an_interrupt_is_no_failed_part_and_a_panic_is() -> None:
    errors = PartErrors()
    with pytest.raises(KeyboardInterrupt):
        errors.isolate("Scores", raising(KeyboardInterrupt()), str)
    assert errors.isolate("Scores", raising(BaseException("panicked")), str) == "BaseException: panicked"
    shown = errors.isolate("Scores", raising(ValueError("x" * 9999)), str)
    assert len(shown) < LONGEST + 3
    assert errors.failed == ["Scores: BaseException: panicked", f"Scores: {shown}"]
