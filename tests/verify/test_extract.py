"""Where an answer is found, and that a megabyte is scanned from its end."""

from __future__ import annotations

import pytest

from limo_ablate.verify.extract import Extract, extract, last_boxed


def found(completion: str, mode: Extract = "stated") -> tuple[str, str]:
    extraction = extract(completion, mode)
    assert not isinstance(extraction, str), extraction
    return extraction.text, extraction.how


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (r"so \boxed{5}", "5"),
        (r"so \boxed{\frac{1}{2}} and on", r"\frac{1}{2}"),
        (r"\fbox{7}", "7"),
        (r"\boxed 5", "5"),
        (r"first \boxed{3}, later \boxed{4}", "4"),
        (r"\boxed{3} and \boxed{4}", "3, 4"),
        (r"\boxed{4}, \boxed{4}", "4"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (
            r"\boxed{\left\{\begin{array}{l} x \\ y\end{array}\right.}",
            r"\left\{\begin{array}{l} x \\ y\end{array}\right.",
        ),
        (r"\boxed{12", None),
        (r"so $\boxed{12$ is right", "12"),
        (r"\boxed{7}, no: \boxed{12", "7"),
        (r"so $a = -\boxed{256}$.", "-256"),
        (r"$\boxed{5}\sqrt{2}$", r"5\sqrt{2}"),
        (r"$\boxed{x+1}^2$", "(x+1)^2"),
        (r"$2\boxed{\sqrt3}$", r"2\sqrt3"),
        (r"\[x=\boxed{5}i\]", "5i"),
        (r"$-\boxed{2}$ and $-\boxed{3}$", "-2, -3"),
        (r"- \boxed{5}", "5"),
        (r"so \boxed{42}!", "42"),
        (r"$3-\boxed{5}$", "5"),
        (r"$12=4\times\boxed{3}$", "3"),
        (r"\boxed{7} \boxed{}", "7"),
        (r"\boxed{\boxed{7}}", "7"),
        (r"\boxed{8}<|im_end|> \boxed{9}", "8"),
        ("no box", None),
        (r"\boxed{}", None),
        (r"\boxedtext{5}", None),
        ("", None),
    ],
)
def test_boxes(completion: str, answer: str | None) -> None:
    assert last_boxed(completion) == answer


@pytest.mark.parametrize(
    ("completion", "answer", "how"),
    [
        ("The answer is 12.", "12", "stated"),
        ("the answer is $x=3$ and $y=4$.", "$x=3$ and $y=4$", "stated"),
        ("The answer is 3.5. Next we check.", "3.5", "stated"),
        ("The answer is 12 because 3*4 = 12.", "12", "stated"),
        ("#### 18", "18", "stated"),
        ("**Answer:** 12 apples", "12 apples", "stated"),
        ("**Final Answer**\n\n12", "12", "stated"),
        ("答案是12。", "12", "stated"),
        ("故选：B．", "B．", "stated"),
        ("The answer is 6. No: the answer is 7.", "7", "stated"),
        ("42", "42", "stated"),
        ("12 apples", "12 apples", "whole"),
        ("Option B", "Option B", "whole"),
        ("We add the two parts\nso the total is 42.", "42", "stated"),
    ],
)
def test_stated_answers(completion: str, answer: str, how: str) -> None:
    assert found(completion) == (answer, how)


@pytest.mark.parametrize(
    ("completion", "answer", "how"),
    [
        ("We bought 12 apples and later 30 pears\nfor all of the children", "30", "number"),
        ("We add the two parts and then get $2+3=5$ and so on.", "2+3=5", "formula"),
    ],
)
def test_the_last_formula_or_number_is_a_guess(completion: str, answer: str, how: str) -> None:
    assert extract(completion, "stated") == "no_answer"
    assert found(completion, "lenient") == (answer, how)


def test_a_box_is_found_before_a_megabyte_of_text() -> None:
    assert found(r"\boxed{5}" + " and so on" * 100_000) == ("5", "box")


def test_separate_boxes_are_kept_for_gold_answers_with_several_values() -> None:
    extraction = extract(r"First \boxed{3}. With more work we find \boxed{5}.")
    assert not isinstance(extraction, str)
    assert (extraction.text, extraction.boxes) == ("5", ("3", "5"))
