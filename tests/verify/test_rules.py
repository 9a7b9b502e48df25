"""Which rule decides, symmetry, options, and what is not decided."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limo_ablate.verify import verify, verify_many
from limo_ablate.verify.api import compare_answers
from limo_ablate.verify.extract import extract
from limo_ablate.verify.gold import read_gold

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    ("gold", "answer", "rule"),
    [
        ("5", "5", "text"),
        (r"\frac12", "0.5", "exact"),
        (r"(x+1)^2", "x^2+2x+1", "identity"),
        (r"\sqrt{8}", r"2\sqrt2", "numeric"),
        (r"2^{10^5}+1", "2^{10^5}", "limit"),
        (r"35\%", "35", "percent"),
        (r"90^\circ", "90", "degrees"),
        (r"2.5\text{ km}", r"2500\text{ m}", "unit"),
        (r"\frac13", "0.333", "rounding"),
        ("B", "(B)", "choice"),
        (r"\{1,2\}", "2,1", "set"),
        ("1,2", "2,1", "list"),
        ("(1,2)", "(1,3)", "tuple"),
        ("x>2", r"(2,\infty)", "interval"),
        ("x+y=1", "2x+2y=2", "relation"),
        (r"3\pm 1", "4,2", "plus-minus"),
        ("2:00 PM", "14:00", "time"),
        (r"\text{east}", "East", "words"),
        (r"\int_0^1 2x\,dx", "1", "symbolic"),
    ],
)
def test_rules(gold: str, answer: str, rule: str) -> None:
    assert compare_answers(gold, answer).rule == rule


def test_symmetry_over_the_golden_set() -> None:
    for file in sorted(GOLDEN.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").split("\n"):
            row = json.loads(line) if line else {}
            extraction = extract(row.get("completion", ""))
            if (
                isinstance(extraction, str)
                or extraction.boxes
                or extraction.how != "box"
                or r"\int" in row["gold"]
            ):
                continue
            gold = read_gold(row["gold"])
            forth = compare_answers(gold, extraction.text)
            back = compare_answers(extraction.text, gold)
            if forth.rule == "base" and forth.equal and not back.equal:
                continue  # an answer may leave out the base: 2A for the gold 2A_{16}
            if forth.rule == "unparsed gold":
                continue  # nothing is compared
            assert forth.equal == back.equal, row


def test_strict_rejects_rounded_decimals() -> None:
    assert verify(r"\boxed{0.667}", r"\frac23").correct
    assert not verify(r"\boxed{0.667}", r"\frac23", strict=True).correct


def test_an_options_text_counts_when_the_options_are_known() -> None:
    choices = {"A": r"\frac{1}{2}", "B": "15"}
    assert verify(r"\boxed{15}", "B", choices=choices).correct
    assert not verify(r"\boxed{15}", "A", choices=choices).correct
    assert not verify(r"\boxed{15}", "B").correct


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"\sqrt{10^{40}+1}", "10^{20}"),
        (r"10^{-200}\sqrt2", r"10^{-200}\sqrt3"),
        (r"\sqrt{2}+10^{-50}", r"\sqrt2"),
    ],
)
def test_values_that_only_double_precision_takes_for_equal(gold: str, answer: str) -> None:
    assert compare_answers(gold, answer).equal is False


def test_cancellation_does_not_hide_equality() -> None:
    assert compare_answers(r"(10^{30}+\sqrt2)-10^{30}", r"\sqrt2").equal is True


def test_exact_numbers_beyond_the_bound_are_undecided() -> None:
    verdict = verify(r"\boxed{9^{9^{9^9}}}", "5")
    assert (verdict.status, verdict.rule) == ("undecided", "limit")


def test_surrogates_are_not_stored() -> None:
    verdict = verify("\\boxed{5\ud800}", "5")
    assert verdict.correct
    assert verdict.answer == "5"


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"\frac{31}{40}", "\\frac{31}{40\1}"),
        ("B&&&&", "(B)"),
        ("B%", "B"),
        ("12:00 A_", "0:00"),
        ("binom{10}{3}", r"\frac{10!}{3>ac"),
        ("~", "58,5-1"),
        (r"\gcd(2)", r"\binomial(3)"),
    ],
)
def test_bugs_found_by_fuzzing(gold: str, answer: str) -> None:
    forth, back = verify(f"\\boxed{{{answer}}}", gold), verify(f"\\boxed{{{gold}}}", answer)
    assert "error" not in (forth.rule, back.rule)
    assert forth.correct == back.correct


OPTIONS = {
    "A": r"10^{-4}\text{ eV}",
    "B": r"\frac{2}{3}",
    "C": "A. baumannii",
    "D": "0.667",
    "E": "x+x",
    "F": "2x",
}


@pytest.mark.parametrize(
    ("gold", "answer", "status"),
    [
        ("A", "A", "correct"),
        ("A", "B", "incorrect"),
        ("A", "0.0001 eV", "correct"),
        ("B", "0.0001 eV", "incorrect"),
        ("A", r"(A) 10^{-4}\text{ eV}", "correct"),
        ("A", r"(B) 10^{-4}\text{ eV}", "incorrect"),  # the letter decides
        ("C", "A. baumannii", "correct"),
        ("A", "A. baumannii", "incorrect"),
        ("B", "2/3", "correct"),  # and 0.667 only rounded
        ("E", "x*2", "undecided"),  # as much F
        ("E", "2x", "incorrect"),
        ("D", "0.667", "correct"),  # exactly as it was shown
        ("B", "0.667", "incorrect"),
        ("A", "7 eV", "incorrect"),
        ("A", "B or A", "incorrect"),
    ],
)
def test_an_option_is_its_letter_or_its_text(gold: str, answer: str, status: str) -> None:
    verdict = verify(f"\\boxed{{{answer}}}", gold, choices=OPTIONS)
    assert (verdict.status, verdict.rule) == (status, "text" if answer == gold else "choice")
    if status != "undecided":
        assert compare_answers(gold, answer, OPTIONS).equal == compare_answers(answer, gold, OPTIONS).equal


def test_each_pair_has_its_own_options() -> None:
    pairs = [(r"\boxed{15}", "B"), (r"\boxed{15}", "B"), (r"\boxed{15}", "15")]
    options = [{"A": "5", "B": "15"}, {"A": "15", "B": "5"}, None]
    for workers in (1, 2):
        verdicts = verify_many(pairs, choices=options, workers=workers)
        assert [verdict.status for verdict in verdicts] == ["correct", "incorrect", "correct"]
