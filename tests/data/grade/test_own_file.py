"""grader=python:FILE.py:FUNCTION: a function of the user's own project."""

from pathlib import Path

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.data.grade.grader import Answered, Grade
from limo_ablate.data.grade.graders import GRADERS, Grading, graded, key_inputs

SOURCE = """
from limo_ablate.data.grade.grader import Grade
def accepts(one): return one.answer == one.gold
def part(one): return len(one.answer) / 10
def whole(one): return Grade(status="undecided", rule="mine", answer=one.answer)
def wrong(one): return "yes"
def fails(one): return 1 / 0
def too_much(one): return 7
def two(completion, gold): return completion == gold
def more(one, *, strict=False, **others): return True
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "graders").mkdir()
    (tmp_path / "graders/mine.py").write_text(SOURCE)
    monkeypatch.setenv("LIMO_ABLATE_PROJECT", str(tmp_path))
    return tmp_path


def by(function: str, completion: str = "The answer is Nile") -> Grade:
    one = Answered(problem="p", completion=completion, gold="Nile")
    (grade,) = graded(f"python:graders/mine.py:{function}", [one])
    return grade


def test_what_the_function_returns_is_the_grade(project: Path) -> None:
    assert by("accepts").status == by("more").status == "correct"
    GRADERS.check_installed("python:graders/mine.py:more")
    assert by("accepts", "The answer is Rhine").status == "incorrect"
    assert (by("part").status, by("part").score) == ("incorrect", 0.4)
    assert by("whole").status == "undecided"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("wrong", "problem p: returned 'yes', not True, False, a score or a Grade"),
        ("fails", "problem p: ZeroDivisionError: division by zero"),
        ("too_much", r"problem p: score=7\.0 is not a number from 0 to 1"),
    ],
)
def test_mistakes_are_one_line(project: Path, function: str, said: str) -> None:
    with pytest.raises(UserError, match=f"^grader=python:graders/mine.py:{function}, {said}"):
        by(function)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("python:graders/mine.py:two", "two of graders/mine.py must be callable with one argument"),
        ("python:graders/mine.py:missing", "defines no function missing; it has: accepts, part"),
        ("python:graders/other.py:f", "No such file"),
        ("python:/etc/x.py:f", r"must be python:FILE\.py:FUNCTION"),
        ("python:../x.py:f", r"must be python:FILE\.py:FUNCTION"),
        ("python:graders/mine:f", r"must be python:FILE\.py:FUNCTION"),
    ],
)
def test_what_is_not_there_is_told_without_running_it(project: Path, name: str, said: str) -> None:
    (project / "graders/mine.py").write_text(SOURCE + "\nraise SystemExit('it ran')\n")
    with pytest.raises(UserError, match=said):
        GRADERS.check_installed(name)


def test_its_digest_is_in_the_key(project: Path) -> None:
    grading = Grading("python:graders/mine.py:accepts")
    before = key_inputs(grading)
    (project / "graders/mine.py").write_text(SOURCE + "\n# changed\n")
    assert key_inputs(grading) != before
