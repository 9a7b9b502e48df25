import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from limo_ablate.analysis.contrasts import contrasts
from limo_ablate.report.claims import claims
from limo_ablate.report.facts import problems
from limo_ablate.report.study_view import load
from tests.made_study import SIZE_MODEL, Making

CONTRAST = {
    "name": "size", "block": "size x model", "factor": "select.size", "a": 4, "b": 64, "score": "mini",
}  # fmt: skip


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = Making(tmp_path, blocks=[SIZE_MODEL], figures=[], contrasts=[CONTRAST]).write()
    path = folder / "study.yaml"
    declared = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(declared | {"stop": {"looks": [3, 5], "max_seeds": 5}}))
    return folder


def look(decision: str) -> list[dict[str, Any]]:
    row = {
        "contrast": "size", "effect": 0.3, "low": 0.1, "high": 0.5, "p": 0.004, "p_equivalent": None,
        "level": 0.0116, "equivalence_level": 0.0116, "item_share": 0.4, "decision": decision,
    }  # fmt: skip
    rule = {"stop": {"when": "decided", "looks": [3, 5], "spending": "obrien_fleming", "max_seeds": 5}}
    return [{"seeds": 3, "time": "2026-01-01T00:00:00+00:00", "contrasts": [row], "rule": rule}]


def test_before_its_first_look_a_contrast_has_no_result(study: Path) -> None:
    found = claims(load(study))
    assert found is not None
    assert found.findings == [("size", "no result: its first look is after 3 seeds")]
    assert found.section.table is None


def test_intervals_and_p_account_for_the_looks(study: Path) -> None:
    (study / "looks.json").write_text(json.dumps(look("different")))
    view = load(study)
    found = claims(view)
    assert found is not None
    row = found.rows.row(0, named=True)
    axes = {"size x model": ["model", "select.size"]}
    fixed = contrasts(view.study.contrasts, axes, view.counted, view.answers).row(0, named=True)
    assert row["effect"] == fixed["effect"]
    assert row["high"] - row["low"] > 1.3 * (fixed["high"] - fixed["low"])
    assert row["p_adj"] == pytest.approx(row["p"] * 0.05 / 0.0116, rel=0.1)
    assert row["conclusion"] == ("different" if row["p"] < 0.0116 else "unclear")
    assert found.section.table is not None
    assert found.section.table.rows[0][:5] == ["size", "1", "3", "2026-01-01", "different"]


def test_a_rule_and_results_that_have_changed_since_are_told(study: Path) -> None:
    (study / "looks.json").write_text(json.dumps(look("different")))
    view = load(study)
    found = claims(view)
    assert found is not None
    assert "DECIDED ON OTHER RESULTS: the effect was +30.0 then" in found.findings[0][1]
    texts = [problem.text for problem in problems(view) if "looks" in problem.text]
    assert "contrasts.size.margin none → null" in texts[0], "the rule here names no contrast"
    assert "stop.looks" not in texts[0]
