"""`limo-ablate score --grader`: a file of completions by any grader of the registry."""

import json
from pathlib import Path

import pytest

from limo_ablate.cli import main

ROWS = [
    {"gold": "100", "completion": "The answer is 100.5.", "reference_correct": True},
    {
        "gold": "7",
        "completions": ["The answer is 7.", "The answer is 8."],
        "reference_correct": [True, False],
    },
]


def lines(capsys: pytest.CaptureFixture[str], *argv: str) -> list[str]:
    assert main(["score", *argv]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return str(path)


def test_the_verifier_is_the_default(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, file) == lines(capsys, file, "--grader", "verifier")


def test_another_grader_with_its_options(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    near = lines(capsys, file, "--grader", "number", "--option", "relative=0.01")
    assert near[:2] == ["3 completions of 2 problems", "accuracy     75.00%"]
    assert near[-1] == "reference    75.00%   0 disagreements"
    assert lines(capsys, file, "--grader", "number")[1] == "accuracy     25.00%"


def test_a_grader_that_gives_part_of_the_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cats.jsonl"
    path.write_text('{"gold": "big cat", "completion": "big dog"}\n')
    assert lines(capsys, str(path), "--grader", "f1")[1] == "mean score   50.00%"


def test_a_function_of_the_project(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("def grade(one):\n    return one.answer == '8'\n")
    monkeypatch.chdir(tmp_path)
    assert lines(capsys, file, "--grader", "python:mine.py:grade")[1] == "accuracy     25.00%"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--grader", "nmber"], "--grader=nmber: not a choice; did you mean number?"),
        (["--grader", "judge"], "--grader judge asks a model"),
        (["--grader", "f1", "--strict"], "are the verifier's, not of --grader f1"),
        (["--option", "relative=1"], "--option relative=1: the verifier has none"),
        (["--grader", "number", "--option", "relativ=1"], "relativ: unknown key; did you mean relative?"),
        (["--grader", "number", "--option", "relative"], "--option relative: not KEY=VALUE"),
        (["--grader", "number", "--option", "relative=-1"], "grader_options.relative=-1"),
    ],
)
def test_what_can_not_be_is_one_line(
    file: str, argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", file, *argv]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
