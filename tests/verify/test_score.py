"""Files of completions: scores, disagreements, verdicts and one-line errors, through the real command."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.verify.score import score_file, verify_file
from tests.forked import limo_ablate

ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    {"problem": "a", "gold": "5", "completions": ["\\boxed{5}", "\\boxed{6}"], "reference_correct": [1, 1]},
    {
        "problem": "b\u2028",
        "gold": "7",
        "completions": ["\\boxed{7}", "who can say\nwhat it is"],
        "reference_correct": [1, 0],
    },
    {
        "problem": "c",
        "gold": "5",
        "completions": ["So x = 5.", "So x = 5."],
        "finish": ["stop", "length"],
        "reference_correct": [1, 0],
    },
    {"problem": "d", "gold": "\\unknown{1}", "completions": ["\\boxed{7}"] * 2, "reference_correct": [0, 0]},
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "completions.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n", encoding="utf-8")
    return path


def test_scores(file: Path) -> None:
    score = score_file(file)
    assert (score.completions, score.problems) == (8, 4)
    assert score.accuracy == pytest.approx((0.5 + 0.5 + 0.5 + 0) / 4)
    assert score.no_answer == score.unfinished == pytest.approx(0.5 / 4)
    assert score.undecided == pytest.approx(1 / 4)
    assert score.highest == pytest.approx(score.accuracy + 1 / 4)
    assert [(item.line, item.sample) for item in score.disagreements] == [(1, 1)]


def test_verdicts_are_rows_in_order(file: Path) -> None:
    rows = list(verify_file(file, workers=2))
    assert [(row["line"], row["sample"]) for row in rows] == [(n // 2 + 1, n % 2) for n in range(8)]
    assert [row["status"] for row in rows][:4] == ["correct", "incorrect", "correct", "incorrect"]
    assert (rows[0]["gold_form"], rows[1]["answer_form"], rows[6]["gold_form"]) == ("5", "6", None)


def test_thinking_ends_where_its_tags_say(tmp_path: Path) -> None:
    path = tmp_path / "thinking.jsonl"
    path.write_text(json.dumps({"gold": "7", "completion": "<think>Maybe \\boxed{7}? Wait."}))
    assert [row["rule"] for row in verify_file(path)] == ["unfinished"]
    assert [row["status"] for row in verify_file(path, thinking="channels")] == ["correct"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it has no rows"),
        ("{", ":1: not JSON"),
        ("[1]", ":1: a row must be an object"),
        ('{"completion": "5"}', ":1: no `gold`"),
        ('{"gold": "5"}', "needs `completion`"),
        (
            '{"gold": "5", "completions": ["5"], "reference_correct": [true, true]}',
            "2 `reference_correct` for 1",
        ),
    ],
)
def test_errors_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        score_file(path)


def test_commands(file: Path) -> None:
    run = partial(limo_ablate, cwd=ROOT)
    scored = run("score", str(file))
    assert scored.returncode == 0
    assert "accuracy     37.50%" in scored.stdout
    assert "line 1, sample 1: incorrect by exact" in scored.stdout
    verdicts = [json.loads(line) for line in run("verify", str(file)).stdout.splitlines()]
    assert [verdict["status"] for verdict in verdicts[:2]] == ["correct", "incorrect"]
    assert run("score", str(file), "--thinking", "think").stdout == scored.stdout
    missing = run("score", "nowhere.jsonl")
    assert missing.returncode == 2
    assert missing.stderr.startswith("limo-ablate: nowhere.jsonl: can't be read")
    assert "Traceback" not in missing.stderr
