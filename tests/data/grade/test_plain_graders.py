"""Graders of texts, numbers and patterns."""

from typing import Any

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.data.grade.grader import Answered, Grade, GraderOptions
from limo_ablate.data.grade.plain_graders import any_of, exact, f1, matches, number


def answered(completion: str, gold: str, problem: str = "p", **given: Any) -> Answered:
    finished = given.pop("finished", True)
    options = GraderOptions(**given)
    return Answered(problem=problem, completion=completion, gold=gold, grading=options, finished=finished)


def status(grader: Any, *given: Any, **options: Any) -> str:
    (grade,) = grader([answered(*given, **options)])
    assert isinstance(grade, Grade)
    return grade.status


@pytest.mark.parametrize(
    ("completion", "gold", "expected"),
    [
        ("Thinking of rivers. The answer is **The Nile**.", "the nile", "correct"),
        ("So \\boxed{Caf\u00e9}", "Cafe\u0301", "correct"),
        ("So \\boxed{\\text{card\\_arrival}}", "card_arrival", "correct"),
        ("The answer is $\\mathrm{B}$", "B", "correct"),
        ("So \\boxed{\\text{card}_1}", "card_2", "incorrect"),
        ("The answer is Nile Delta", "Nile", "incorrect"),
        ("I do not know which river it is, as there are so many of them", "Nile", "incorrect"),
        ("<think>The answer is Nile", "Nile", "incorrect"),
        ("The answer is Nile", " ", "undecided"),
        ("The answer is 18", "She sells 16 - 3 - 4 = 9 eggs.\nShe makes 9 * 2 = 18.\n#### 18", "correct"),
        ("The answer is ) ]", "] )", "incorrect"),
        ("The answer is ] )", "] )", "correct"),
        ("The answer is (0, 1]", "[0, 1)", "incorrect"),
        ("The answer is [0, 1).", "[0, 1)", "correct"),
        ("The answer is B", "(B)", "correct"),
        ("Answer: 5", ".5", "incorrect"),
        ("Answer: .5", ".5", "correct"),
        ("Answer: 102", "10\u00b2", "incorrect"),
        ("Answer: 10^2", "10\u00b2", "correct"),
    ],
)
def test_exact(completion: str, gold: str, expected: str) -> None:
    assert status(exact, completion, gold) == expected


def test_what_of_a_completion_is_the_answer() -> None:
    text = "Let me see.\nParis\n"
    assert status(exact, text, "Paris", answer="last_line") == "correct"
    assert status(exact, text, "Paris", answer="whole") == "incorrect"
    assert status(exact, "Paris", "Paris", answer="whole") == "correct"
    assert status(exact, "Paris", "Paris", answer="whole", finished=False) == "incorrect"
    assert status(exact, "", "Paris", answer="last_line") == "incorrect"


def test_any_of_several_golds() -> None:
    assert status(any_of, "The answer is USA.", "United States|U.S.A|USA") == "correct"
    assert status(any_of, "The answer is UK.", "United States|USA") == "incorrect"
    assert status(any_of, "The answer is UK.", "GB; UK", separator=";") == "correct"
    assert status(any_of, 'The answer is "".', "UK|") == "incorrect"


@pytest.mark.parametrize(
    ("completion", "gold", "options", "expected"),
    [
        ("The answer is 3.14", "3.14159", {"relative": 0.001}, "correct"),
        ("The answer is 3.14", "3.14159", {"absolute": 0.001}, "incorrect"),
        ("The answer is 3.14", "3.14159", {}, "incorrect"),
        ("The answer is 1/2", "0.5", {}, "correct"),
        ("So \\boxed{-\\frac{1}{4}}", "-0.25", {}, "correct"),
        ("So \\boxed{\\frac{1}{4}}", "-0.25", {}, "incorrect"),
        ("So \\boxed{-1/4}", "0.25", {}, "incorrect"),
        ("So \\boxed{3\\frac{1}{2}}", "0.5", {}, "incorrect"),
        ("So \\boxed{\\frac{1e999999999}{1}}", "1", {}, "incorrect"),
        ("So \\boxed{\\frac{1}{0}}", "1", {}, "incorrect"),
        ("The answer is 1/2/2024", "0.5", {}, "incorrect"),
        ("So \\boxed{-1.6 \\times 10^{-19}}", "-1.6e-19", {}, "correct"),
        ("The answer is 10^3 kg", "1000", {}, "correct"),
        ("The answer is 3 × 10^8 m/s", "2.998e8", {"relative": 0.01}, "correct"),
        ("The answer is 12 percent", "12%", {}, "correct"),
        ("The answer is 1,234.50 USD", "1234.5", {}, "correct"),
        ("The answer is 12 %", "0.12", {}, "correct"),
        ("The answer is 1.1 %", "0.011", {}, "correct"),
        ("The answer is 0.3", "0.2", {"absolute": 0.1}, "correct"),
        ("The answer is \u22125", "-5", {}, "correct"),
        ("The answer is between 3 and 4", "3", {"absolute": 1}, "incorrect"),
        ("The answer is 3", "three", {}, "undecided"),
        ("The answer is 18.0", "She makes 9 * 2 = 18.\n#### 18", {}, "correct"),
        ("The answer is 3", "3 or 4", {}, "undecided"),
        ("The answer is 1e999", "1e999", {}, "undecided"),
        ("The answer is 1e99999999999999999999999", "1", {}, "incorrect"),
        ("The answer is 0", "0", {"relative": 0.1}, "correct"),
        ("The answer is 3 million", "3", {}, "incorrect"),
        ("The answer is 3 million", "3,000,000", {}, "correct"),
        ("The answer is 102", "10\u00b2", {}, "incorrect"),
        ("The answer is 100", "10\u00b2", {}, "correct"),
        ("The answer is 2^2", "2", {}, "incorrect"),
        ("The answer is 2^{10}", "1024", {}, "correct"),
        ("The answer is 999999^999", "9", {}, "incorrect"),
        ("The answer is 5.5", "1\u00bd", {}, "undecided"),
        ("The answer is 25,00 \u20ac", "25", {}, "correct"),
        ("The answer is 2.5", "2,5", {}, "correct"),
        ("The answer is -0,125", "-0.125", {}, "correct"),
        ("The answer is 1.234,56", "1234.56", {}, "correct"),
        ("The answer is 1.234.567", "1234567", {}, "correct"),
        ("The answer is 1\u202f234,56", "1234.56", {}, "correct"),
        ("The answer is 1'234.5", "1234.5", {}, "correct"),
        ("The answer is 12,34,567", "1234567", {}, "correct"),
        ("The answer is 12,5 %", "0.125", {}, "correct"),
        ("The answer is 1,234", "1234", {}, "correct"),
        ("The answer is 1.234", "1234", {}, "incorrect"),
        ("The answer is 1,2,3", "1.2", {}, "incorrect"),
        ("The answer is (3, 5)", "3.5", {}, "incorrect"),
        ("The answer is 2024 100", "2024100", {}, "incorrect"),
    ],
)
def test_numbers(completion: str, gold: str, options: dict[str, float], expected: str) -> None:
    assert status(number, completion, gold, **options) == expected


def test_patterns() -> None:
    assert status(matches, "The answer is Colour", "colou?r") == "correct"
    assert status(matches, "The answer is colours", "colou?r") == "incorrect"
    assert status(matches, "The answer is x", "(") == "undecided"
    hostile = "a" * 40 + "b"
    (grade,) = matches([answered(hostile, "(a|a)*(a|a)*(a|a)*c", answer="whole")])
    assert grade.status in ("undecided", "incorrect")


def test_equal_wrong_texts_are_one_vote() -> None:
    texts = ["The answer is Nile", "The answer is Rhine.", "The answer is rhine", "The answer is Po", ""]
    grades = exact([answered(text, "Nile") for text in texts])
    assert [grade.vote for grade in grades] == [0, 1, 1, 2, None]


@pytest.mark.parametrize("wrong", [{"relative": -1.0}, {"absolute": float("nan")}, {"separator": ""}])
def test_options_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="grader_options"):
        GraderOptions(**wrong)


@pytest.mark.parametrize(
    ("completion", "gold", "score"),
    [
        ("The answer is the Nile river.", "Nile River", 1.0),
        ("The answer is the blue Nile", "Nile", 2 / 3),  # 1 of 2 words, all of the gold answer's
        ("The answer is blue blue Nile", "blue|Nile delta", 0.5),  # 1 of 3 words, all of "blue"
        ("The answer is Amazon", "Nile", 0.0),
    ],
)
def test_f1_of_words(completion: str, gold: str, score: float) -> None:
    (grade,) = f1([answered(completion, gold)])
    assert grade.score == pytest.approx(score)
    assert grade.status == ("correct" if score == 1 else "incorrect")


@pytest.mark.parametrize(
    ("completion", "gold", "score"),
    [
        ("\u5317\u4eac\u5e02", "\u5317\u4eac", 0.8),
        ("\u732b", "\u72ac", 0.0),
        ("\u0e01\u0e35\u0e48", "\u0e01\u0e35\u0e48", 1.0),
        ("Tokyo \u6771\u4eac", "\u6771\u4eac Tokyo", 1.0),
    ],
)
def test_f1_of_scripts_without_spaces(completion: str, gold: str, score: float) -> None:
    (grade,) = f1([answered(completion, gold, answer="whole")])
    assert grade.score == pytest.approx(score)


def test_f1_without_an_answer_or_a_gold_answer() -> None:
    assert status(f1, "", "Nile") == "incorrect"
    assert status(f1, "The answer is Nile", "the, a") == "undecided"


@pytest.mark.parametrize(("grader", "gold"), [(exact, " "), (number, "three"), (matches, "("), (f1, "the")])
def test_what_broke_off_is_not_wrong_where_the_gold_answer_can_t_be_used(grader: Any, gold: str) -> None:
    (grade,) = grader([answered("I think", gold, finished=False)])
    assert (grade.status, grade.answer) == ("undecided", None)
    assert status(grader, "The answer is 3", gold) == "undecided"
