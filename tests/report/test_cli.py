"""`limo-ablate report`: what it says beside the page."""

from pathlib import Path

import pytest
import yaml

from limo_ablate.cli import main
from limo_ablate.report import page
from tests.small_study import small


def test_a_study_whose_file_says_something_else_by_now_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    studies, sweeps = tmp_path / "studies", tmp_path / "sweeps"
    folder = small(studies / "made", tmp_path / "store")
    sweeps.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(page, "write_report", lambda study, to: (_page(study), [], []))
    declared = yaml.safe_load((folder / "study.yaml").read_text())
    for edited in (False, True):
        if edited:
            declared["contrasts"][0]["score"] = "mini/hard"
        (sweeps / "made.yaml").write_text(yaml.safe_dump(declared))
        assert main(["report", "made", f"paths.studies={studies}"]) == 0
        said = "contrasts of made.yaml changed since the study was run: `limo-ablate sweep made`"
        assert (said in capsys.readouterr().out) is edited


def _page(study: Path) -> Path:
    (study / "report").mkdir(exist_ok=True)
    page = study / "report" / "index.html"
    page.touch()
    return page
