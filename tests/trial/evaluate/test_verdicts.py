"""Completions become verdicts: three readings of each, hostile text among them."""

import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.core.registry import Entry
from limo_ablate.data.grade import graders
from limo_ablate.data.grade.grader import Grade
from limo_ablate.data.grade.graders import GRADERS, Grading
from limo_ablate.data.pool.choices import write_options
from limo_ablate.trial.evaluate.verdicts import verdicts

TEXTS = {
    "boxed": r"so \boxed{42}",
    "stated": "The answer is 42.",
    "last number": "we add 40 and 2 and have 42 then",
    "wrong": r"\boxed{41}",
    "nothing": "no idea",
    "empty": "",
    "hostile": r"\boxed{__import__('os').system('true')}",
}


def _store(tmp_path: Path) -> tuple[Store, Artifact, Artifact]:
    store = Store(tmp_path)

    def problems(folder: Path) -> None:
        row = {"text": "q", "gold": "42", "source": "t", "level": 3.0, "subject": None, "pass_rate": None}
        table = pl.DataFrame([{"id": name, **row} for name in TEXTS])
        table.write_parquet(folder / "problems.parquet")

    def completions(folder: Path) -> None:
        row = {"benchmark": "b", "sample": 0, "prompt": "q", "tokens": 5, "finish": "stop", "loops": False}
        table = pl.DataFrame([{"problem": n, "completion": text, **row} for n, text in TEXTS.items()])
        table.write_parquet(folder / "completions.parquet")

    return store, store.build("completions", {}, completions), store.build("benchmark", {}, problems)


def test_three_readings(tmp_path: Path) -> None:
    store, completions, benchmark = _store(tmp_path)
    table = pl.read_parquet(verdicts(store, completions, benchmark).path / "verdicts.parquet")
    rows = {row["problem"]: row for row in table.iter_rows(named=True)}
    assert {name for name, row in rows.items() if row["status"] == "correct"} >= {"boxed", "stated"}
    assert {name for name, row in rows.items() if row["boxed"]} == {"boxed"}
    assert {name for name, row in rows.items() if row["lenient"]} == {"boxed", "stated", "last number"}
    assert rows["empty"]["rule"] == "no_answer"
    assert rows["hostile"]["status"] != "correct"
    assert rows["wrong"]["answer"] == "41"
    assert (rows["boxed"]["level"], rows["boxed"]["gold"], rows["boxed"]["finish"]) == (3.0, "42", "stop")


def test_options_are_graded_as_they_were_shown_and_equal_answers_vote_together(tmp_path: Path) -> None:
    store = Store(tmp_path)
    answers = [r"\boxed{B}", r"\boxed{0.5}", r"\boxed{1/2}", r"\boxed{A}", r"\boxed{(A) 3}", r"\boxed{3}", ""]

    def problems(folder: Path) -> None:
        table = pl.DataFrame({"id": ["p"], "text": ["q"], "gold": ["B"], "level": [None], "source": ["t"],
                              "subject": [None]})  # fmt: skip
        table.write_parquet(folder / "problems.parquet")
        write_options(folder, {"p": {"question": "q", "options": {"A": "3", "B": r"\frac12"}}})

    def completions(folder: Path) -> None:
        row = {"benchmark": "b", "problem": "p", "prompt": "q", "tokens": 5, "finish": "stop", "loops": False}
        rows = [{**row, "sample": sample, "completion": text} for sample, text in enumerate(answers)]
        pl.DataFrame(rows).write_parquet(folder / "completions.parquet")

    texts, benchmark = (
        store.build("completions", {}, completions),
        store.build("benchmark", {}, problems),
    )
    table = pl.read_parquet(verdicts(store, texts, benchmark).path / "verdicts.parquet")
    assert table["status"].to_list() == ["correct"] * 3 + ["incorrect"] * 4
    assert table["rule"].to_list() == ["text"] + ["choice"] * 5 + ["no_answer"]
    assert table["boxed"].sum() == table["lenient"].sum() == 3
    assert table["vote"].to_list() == [0, 0, 0, 1, 1, 1, None]


def test_another_verifier_or_other_tags_grade_the_same_completions_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, completions, benchmark = _store(tmp_path)
    first = verdicts(store, completions, benchmark)
    assert verdicts(store, completions, benchmark).path == first.path
    others = {verdicts(store, completions, benchmark, thinking="none").path}
    monkeypatch.setattr(graders, "VERSION_OF_VERIFIER", graders.VERSION_OF_VERIFIER + 1)
    others.add(verdicts(store, completions, benchmark).path)
    assert len(others - {first.path}) == 2


def test_thinking_and_the_end_of_a_completion_are_told_to_the_grader(tmp_path: Path) -> None:
    store = Store(tmp_path)
    texts = {
        "open": (r"or \boxed{42}", "stop"),
        "closed": (r"or 41</think> So \boxed{42}", "stop"),
        "stated": (r"</think> The answer is 42. Let me", "length"),
        "cut": ("</think> So the total is 42.", "length"),
        "whole": ("</think> So the total is 42.", "stop"),
    }

    def problems(folder: Path) -> None:
        row = {"text": "q", "gold": "42", "source": "t", "level": None, "subject": None}
        pl.DataFrame([{"id": name, **row} for name in texts]).write_parquet(folder / "problems.parquet")

    def completions(folder: Path) -> None:
        row = {"benchmark": "b", "sample": 0, "prompt": "q<think>\n", "tokens": 5, "loops": False}
        rows = [{"problem": n, "completion": text, "finish": end, **row} for n, (text, end) in texts.items()]
        pl.DataFrame(rows).write_parquet(folder / "completions.parquet")

    parts = store.build("completions", {}, completions), store.build("benchmark", {}, problems)
    table = pl.read_parquet(verdicts(store, *parts).path / "verdicts.parquet")
    right = dict(zip(texts, table["status"] == "correct", strict=True))
    assert right == {"open": False, "closed": True, "stated": True, "cut": False, "whole": True}
    assert table.filter(pl.col("problem").is_in(["open", "cut"]))["rule"].to_list() == ["unfinished"] * 2
    assert table.filter(problem="cut")["lenient"].item()


@pytest.mark.parametrize(
    ("status", "score", "message"),
    [
        ("incorrect", math.nan, r"grader=odd, problem boxed: score=nan is not a number from 0 to 1"),
        ("incorrect", -0.1, r"score=-0\.1 is not"),
        ("correct", 1.5, r"score=1\.5 is not"),
        ("incorrect", "high", r"score='high' is not"),
        ("correct", 0.5, r"score=0\.5 with status=correct; a score of 1 is correct"),
        ("incorrect", 1.0, r"score=1\.0 with status=incorrect"),
        ("undecided", 0.0, r"score=0\.0 with status=undecided"),
    ],
)
def test_scores_that_are_none_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: Any, score: Any, message: str
) -> None:
    grade = Grade(status=status, score=score, rule="odd")
    monkeypatch.setitem(GRADERS.builtin, "odd", Entry(f"{__name__}:ODD", "odd"))
    monkeypatch.setitem(globals(), "ODD", lambda answered: [grade for _ in answered])
    with pytest.raises(UserError, match=message):
        verdicts(*_store(tmp_path), Grading("odd"))
