"""The library gives what the verbs give, and loads no torch for it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import pytest

import limo_ablate as la
from limo_ablate.core.python import environment, python
from limo_ablate.report.study_view import load
from tests.made_study import FIGURES, SIZE_QUALITY, Making

CONTRAST = {
    "name": "L5 against L1", "block": "size x quality", "factor": "select.quality", "a": "L1", "b": "L5",
    "score": "mini",
}  # fmt: skip
DOCUMENT = Path(__file__).parent.parent / "docs/library.md"
TITLE = str(FIGURES[0]["title"])
ANALYSIS = """
import sys
import limo_ablate as la
study = la.Study(sys.argv[1])
study.cells(), study.contrasts(), study.curve(study.figures[0]), study.figure(study.figures[0])
loaded = {"torch", "transformers", "wandb"} & {*sys.modules}
sys.exit(f"loaded {loaded}" if loaded else 0)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("library") / "made"
    return Making(place, blocks=[SIZE_QUALITY], figures=FIGURES[:1], contrasts=[CONTRAST]).write()


def test_tables_are_those_of_the_report(folder: Path) -> None:
    study, view = la.Study(folder), load(folder)
    assert study.trials().equals(view.table)
    assert study.items().equals(view.answers)
    assert study.cells().equals(view.cells)
    assert study.contrasts()["contrast"].to_list() == ["L5 against L1"]
    assert study.folder == folder
    assert study.declared.name == view.study.name


def test_a_figure_and_its_curves(folder: Path) -> None:
    study = la.Study(folder)
    assert study.figures == [TITLE]
    assert isinstance(study.figure(TITLE), alt.TopLevelMixin)
    curve = study.curve(TITLE)
    assert curve.columns == ["line", "x", "accuracy", "low", "high"]
    assert curve["line"].unique(maintain_order=True).to_list() == ["L1", "L2", "L3", "L4", "L5"]
    assert curve.select((pl.col("low") <= pl.col("accuracy")).all()).item()
    with pytest.raises(la.UserError, match=f"no such figure.*Figures: {TITLE}"):
        study.figure("Acc")


def test_analysis_loads_no_torch(folder: Path) -> None:
    done = subprocess.run(
        python("-c", ANALYSIS, str(folder)), env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_examples_of_the_documentation_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that train nothing, on a made study of that name."""
    study = tmp_path / "outputs/studies/miniature"
    Making(study, blocks=[SIZE_QUALITY], figures=FIGURES[:1], contrasts=[CONTRAST]).write()
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"(<!-- trains -->\n)?```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert [bool(trains) for trains, _ in blocks].count(True) == 1
    names: dict[str, Any] = {}
    for trains, code in blocks:
        if not trains:
            exec(code, names)  # noqa: S102
    assert names["best"].height == 3
    whole = pl.col("score") == "mini"
    assert names["paired"].filter(whole).height == names["study"].items().filter(whole).height
    assert names["chosen"].selected.rows.height == 16


def test_what_has_not_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = la.Study("miniature", "seeds=[0]", f"paths.studies={tmp_path}")
    assert len(study.declared.seeds) == 1
    with pytest.raises(la.UserError, match="miniature: not run yet in"):
        study.cells()
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = la.nonsense  # type: ignore[attr-defined]


def test_a_study_under_another_name_has_the_results_of_that_name(folder: Path) -> None:
    study = la.Study("miniature", f"name={folder.name}", f"paths.studies={folder.parent}")
    assert study.folder == folder
    assert study.cells().equals(la.Study(folder).cells())


def test_a_selection_and_a_comparison(folder: Path, tmp_path: Path) -> None:
    chosen = la.select_rows("select.size=8", f"paths.artifacts={tmp_path}")
    assert chosen.selected.rows.height == 8
    names = la.Study(folder).trials()["trial"].unique().sort().to_list()
    assert la.compare(names[0], names[1], study=folder)["a"]["name"] == f"made/{names[0]}"
