"""The interface: statuses, extraction modes, order of a batch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limo_ablate.verify import verify, verify_many

SHARED = Path(__file__).resolve().parents[3] / "shared/data"
CONTRARY = {
    ("\\frac{2}{3}", "0.667"),
    ("36\\pi", "113.1"),
    ("864", "1000"),
    ("12", "The answer is \\boxed{12"),
}
"""Debatable labels decided otherwise: roundings to three digits count; text past the end of turn, and a box
in which the text breaks off, do not."""


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
def test_labelled_examples() -> None:
    for line in (SHARED / "verifier_examples.jsonl").read_text().splitlines():
        row = json.loads(line)
        verdict = verify(row["completion"], row["gold"])
        contrary = any(row["gold"] == gold and answer in row["completion"] for gold, answer in CONTRARY)
        assert verdict.correct == (row["expected"] != contrary), (row, verdict)
        assert verdict.status != "undecided"


def test_a_completion_without_an_answer() -> None:
    verdict = verify("I can't say.", "5", extract="boxed")
    assert (verdict.status, verdict.rule, verdict.answer) == ("incorrect", "no_answer", None)


@pytest.mark.parametrize(
    ("completion", "modes"),
    [
        ("so \\boxed{42}", {"boxed", "stated", "lenient"}),
        ("The answer is 42.", {"stated", "lenient"}),
        ("We had 40 first, then 42 apples were\nleft on the table", {"lenient"}),
    ],
)
def test_modes_of_extraction(completion: str, modes: set[str]) -> None:
    for mode in ("boxed", "stated", "lenient"):
        assert verify(completion, "42", extract=mode).correct == (mode in modes), mode  # type: ignore[arg-type]


def test_unparsed_gold_is_undecided() -> None:
    verdict = verify("\\boxed{7}", "\\unknowncommand{5}")
    assert verdict.status == "undecided"
    assert "gold" in str(verdict.reason)


@pytest.mark.parametrize(
    "gold",
    [
        "SELECT name FROM users WHERE id = 3",
        '{"a": 1, "b": [2, 3]}',
        "def double(x):\n    return 2 * x",
        "The proof goes by induction on the number of edges of the graph, and its base case is clear.",
    ],
)
def test_a_gold_that_is_neither_mathematics_nor_short_text_is_undecided(gold: str) -> None:
    verdict = verify("\\boxed{3}", gold)
    assert (verdict.status, verdict.rule) == ("undecided", "unparsed gold")
    assert verify(f"\\boxed{{{gold}}}", gold).correct


PREFIXES = (
    "{}\n\nLet's think step by step. We start by",
    "The problem says: {}",
    "Okay, so I have this: {} I need to think about it.",
    "**Question**\n{}\n\n**Solution**\n",
    "The answer to the question: {}",
    "{0}\n{0}",
)


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_question_is_never_its_answer(prefix: str) -> None:
    problems = json.loads((SHARED / "pools/math_train.json").read_text(encoding="utf-8"))[::30]
    right = [p for p in problems if verify(prefix.format(p["problem"]), p["answer"]).correct]
    assert not right


def test_batches_keep_their_order_over_workers() -> None:
    pairs = [(f"\\boxed{{{n}}}", str(n - n % 3)) for n in range(150)]
    alone, shared = verify_many(pairs), verify_many(pairs, workers=2)
    assert [v.correct for v in alone] == [n % 3 == 0 for n in range(150)]
    assert [(v.status, v.rule, v.answer) for v in alone] == [(v.status, v.rule, v.answer) for v in shared]


def test_an_option_s_text_that_begins_like_a_letter_is_that_option() -> None:
    options = {"A": "i) HCl; ii) NaOH", "B": "i) NaOH; ii) HCl", "C": "a) both", "D": "none"}
    for letter, text in options.items():
        for gold in options:
            expected = "correct" if gold == letter else "incorrect"
            assert verify(rf"\boxed{{{text}}}", gold, choices=options).status == expected
    assert verify(r"\boxed{b)}", "B", choices=options).correct
