"""`export`, and the JSON of all verbs: what docs/json.md says of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from limo_ablate.cli import main
from limo_ablate.core.command import print_json
from limo_ablate.report.export import _latex_table, facts, latex, markdown, model_card
from limo_ablate.report.labels import errors_over
from limo_ablate.report.section import Table
from limo_ablate.report.study_view import StudyView, load
from tests.conftest import ROOT
from tests.made_study import FIGURES, SIZE_QUALITY, Making

NAME = "L5 | of_100 % & {more}\n[link](x)"
CONTRAST = {
    "name": NAME, "block": "size x quality", "factor": "select.quality", "a": "L5", "b": "L1",
    "score": "mini",
}  # fmt: skip
BLOCK = {**SIZE_QUALITY, "axes": {"select.size": [4, 64], "select.quality": ["L1", "L5"]}}
DOC = (ROOT / "docs" / "json.md").read_text()


def listed(verb: str) -> set[str]:
    """The keys that the document lists of a verb."""
    section = DOC.split(f"## {verb}\n")[1].split("\n## ")[0]
    first = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return set(re.findall(r"`(\w+)`", " ".join(first)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("export") / "made"
    return Making(place, blocks=[BLOCK], figures=FIGURES[:1], contrasts=[CONTRAST], seeds=[0, 1]).write()


@pytest.fixture(scope="module")
def view(folder: Path) -> StudyView:
    return load(folder)


def test_numbers_are_those_of_the_study(view: StudyView) -> None:
    found = facts(view)
    assert (found["trials"], found["factors"]) == (
        {"finished": 8, "failed": 0, "all": 8}, ["select.size", "select.quality"],
    )  # fmt: skip
    (row,) = found["contrasts"]
    assert row["effect"] < -0.4
    shown = f"{100 * row['effect']:.1f}"
    assert f"| {shown} | [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}] |" in markdown(view)
    assert shown.replace("-", "$-$") in latex(view)
    best = max((cell for cell in found["cells"] if cell["score"] == "mini"), key=lambda cell: cell["mean"])
    assert f"| 64 | L5 | mini | 2 | 60 | {100 * best['mean']:.1f} ± " in markdown(view)


def test_errors_of_one_seed_are_not_said_to_be_over_seeds(tmp_path: Path, view: StudyView) -> None:
    making = Making(tmp_path / "one", blocks=[BLOCK], figures=FIGURES[:1], contrasts=[CONTRAST], seeds=[0])
    single = load(making.write())
    for text in (markdown(single), latex(single)):
        assert text.count("over problems only: one seed") == 2
    assert markdown(view).count("are over seeds and problems (random") == 2
    assert errors_over([3, None, 1]) == "over seeds and problems; of rows with one seed, over problems only"


def test_names_of_others_stay_in_their_cells(view: StudyView) -> None:
    tables = [line for line in markdown(view).splitlines() if line.startswith("|")]
    counts = {len(re.findall(r"(?<!\\)\|", line)) for line in tables if "L5 \\|" in line}
    assert counts == {8}
    assert "[link](x)" not in markdown(view)
    (row,) = [line for line in latex(view).splitlines() if "of\\_100" in line]
    assert r"L5 $|$ of\_100 \% \& \{more\}" in row
    assert len(re.findall(r"(?<!\\)&", row)) == 6
    assert latex(view).count(r"\begin{table}") == latex(view).count(r"\end{table}") == 2


def test_a_model_card_says_what_was_compared_and_how(view: StudyView) -> None:
    card = model_card(view)
    assert card.startswith("## Ablation study made\n\n8 trials of 8, seeds 0, 1,")
    for part in ("### Contrasts\n", "### Accuracy of each cell\n", "- Learning rate: ", "- Commit: "):
        assert part in card


def test_texts_of_others_add_nothing_to_a_model_card(view: StudyView) -> None:
    hostile = "Why?\n\n## Results\n<script>x</script> [best](https://a.b) `x`"
    own = replace(view, study=replace(view.study, question=hostile))
    vars(own)["records"] = [{**record, "versions": {"torch": hostile}} for record in view.records]
    card = model_card(own)
    assert not re.search(r"^## Results|(?<!\\)<script|(?<!\\)\[best|(?<!\\)`x", card, re.MULTILINE)


def test_a_row_of_latex_takes_nothing_of_the_next(view: StudyView) -> None:
    """`\\\\` reads a `*` and an optional length after it, in the next line too."""
    table = Table(["*", "n"], [["[1, 2]", "3"], ["*", "4"]], 1)
    lines = _latex_table("a", "b", "c", table).splitlines()
    assert [line for line in lines if line.startswith("{}")] == [
        r"{}* & n \\", r"{}[1, 2] & 3 \\", r"{}* & 4 \\",
    ]  # fmt: skip


def test_a_study_without_results_is_told_so_in_both_forms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {"blocks": [BLOCK], "figures": [], "seeds": [0], "failing": lambda asked, seed: True}
    made = Making(tmp_path / "made", **own).write()  # type: ignore[arg-type]
    for more in ([], ["--json"]):
        assert main(["export", str(made), *more]) == 2
        assert "no trial has finished yet" in capsys.readouterr().err


def test_the_json_of_verbs_has_the_keys_that_are_documented(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        json.dumps({"problem": "1+1?", "answer": "2", "gold": "2", "completion": "It is 2."}) + "\n"
    )
    monkeypatch.setattr("limo_ablate.report.page.write_report", lambda study, to: (study / "x", [], ["said"]))
    a, b, *_ = [trial.name for trial in load(folder).trials]
    (tmp_path / "conf").mkdir()
    lines = {
        "status": ["status", str(folder)],
        "plan": ["plan", str(folder / "study.yaml"), "seeds=0", f"paths.artifacts={tmp_path}"],
        "export": ["export", str(folder)],
        "report": ["report", str(folder)],
        "compare": ["compare", a, b, "--study", str(folder)],
        "data inspect": ["data", "inspect", str(rows)],
        "score": ["score", str(rows)],
    }
    for verb, line in lines.items():
        assert main([*line, "--json"]) in (0, 2), capsys.readouterr().err
        assert set(read(capsys.readouterr().out)) == listed(verb), f"{verb}: name its keys in docs/json.md"


def read(text: str) -> dict[str, Any]:
    """JSON without the constants that are none."""
    found: dict[str, Any] = json.loads(text, parse_constant=pytest.fail)
    return found


def test_what_is_no_number_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [float("nan"), 1.5, float("inf")], 2: Path("x"), "b": None, "c": True})
    assert read(capsys.readouterr().out) == {"a": [None, 1.5, None], "2": "x", "b": None, "c": True}


def test_a_trial_prints_its_metrics_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("limo_ablate.trial.run.run_trial", lambda config, folder, labels: {"scores": {}})
    monkeypatch.setattr("sys.argv", ["limo-ablate"])
    assert main(["select.size=8", "track=none", "--json", "hydra.run.dir=here"]) == 0
    assert read(capsys.readouterr().out) == {"folder": str(tmp_path / "here"), "scores": {}}
    assert main(["-m", "select.size=8", "--json"]) == 2
    assert "--json is for one trial" in capsys.readouterr().err
