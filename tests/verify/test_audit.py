"""Error rates of the verifier on labelled completions."""

import json
from pathlib import Path

import pytest
from statsmodels.stats.proportion import proportion_confint

from limo_ablate.cli import main
from limo_ablate.core.errors import UserError
from limo_ablate.verify.audit import ErrorRates, Rate, audit, kind, lines
from limo_ablate.verify.score import grade_file

ROWS = (
    ("4", r"\boxed{4}", True, "one"),
    ("4", r"\boxed{5}", False, "one"),
    ("4", r"\boxed{4}", False, "one"),  # as its label says, wrongly
    ("[1, 2]", r"\boxed{(1, 2)}", True, "two"),
    ("B", "The answer is B.", True, "two"),
)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    keys = ("gold", "completion", "reference_correct", "source")
    file = tmp_path / "labelled.jsonl"
    file.write_text("".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in ROWS))
    return file


def test_errors_are_counted_by_source_and_kind_beside_another_grader(labelled: Path) -> None:
    graded = grade_file(labelled)
    rates = audit(graded, {"generous": [True] * len(graded)})
    assert rates[:2] == [
        ErrorRates("all", "limo-ablate", Rate(1, 2), Rate(1, 3), 0),
        ErrorRates("all", "generous", Rate(2, 2), Rate(0, 3), 0),
    ]
    own = {
        row.group: (row.false_positive, row.false_negative) for row in rates[2:] if row.grader != "generous"
    }
    assert own == {
        "source one": (Rate(1, 2), Rate(0, 1)),
        "source two": (Rate(0, 0), Rate(1, 2)),
        "kind choice": (Rate(0, 0), Rate(0, 1)),
        "kind integer": (Rate(1, 2), Rate(0, 1)),
        "kind point or interval": (Rate(0, 0), Rate(1, 1)),
    }
    assert "| source two | limo-ablate | – | 50.00 (9.45 to 90.55; 1 of 2) | 0 |" in lines(rates)


@pytest.mark.parametrize(("wrong", "n"), [(0, 1), (1, 3), (7, 7474), (500, 500)])
def test_intervals_are_wilson_s(wrong: int, n: int) -> None:
    assert Rate(wrong, n).interval == pytest.approx(proportion_confint(wrong, n, method="wilson"))


@pytest.mark.parametrize(
    ("gold", "expected"),
    [
        ("3", "integer"), ("1/2", "fraction or decimal"), ("0.25", "fraction or decimal"), ("(B)", "choice"),
        (r"\sqrt2", "expression"), ("1, 2", "list"), (r"\{1, 2\}", "set"),
        ("x > 1", "equation or inequality"), ("east", "words"), ("5:30 pm", "time or date"), ("3:4", "ratio"),
    ],
)  # fmt: skip
def test_kinds_of_gold_answers(gold: str, expected: str) -> None:
    assert kind(gold) == expected


def test_an_audit_needs_labels(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labelled.write_text('{"gold": "1", "completion": "1"}\n')
    with pytest.raises(UserError, match="line 1: no `reference_correct`"):
        audit(grade_file(labelled), {})
    assert main(["verify", str(labelled), "--peer", "math-verify"]) == 2
    assert "--peer is for --audit" in capsys.readouterr().err
