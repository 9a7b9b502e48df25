"""Gold answers, flags and numbers as real data sets write them."""

from typing import Any

import pytest

from limo_ablate.data.pool.values import BadRow, flag, gold_text, level, number, parse_pass_rate, stated_gold


@pytest.mark.parametrize(
    ("value", "gold"),
    [
        (27.0, "27"), (0.5, "0.5"), (70, "70"), ([3568, 5880], "3568, 5880"), ({"a": 1.0, "b": None}, "1"),
        (" $x$ ", "$x$"), ("np.arcsin(10/13)", "np.arcsin(10/13)"), ("", None), (None, None), ([], None),
        (float("nan"), None), ("notfound", None), ("Proof", None),
    ],
)  # fmt: skip
def test_a_given_gold_answer(value: Any, gold: str | None) -> None:
    assert gold_text(value) == gold


@pytest.mark.parametrize(
    ("solution", "gold"),
    [
        (r"first \boxed{1}, then \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"<think>\boxed{3}</think> So \boxed{4}", "4"),
        (r"a set \boxed{\left\{1, 2\right\}}", r"\left\{1, 2\right\}"),
        ("2+2=4\n#### 4\n", "4"),
        ("#### 70,000", "70,000"),
        ("#### Step 1\nWe add.", None),
        ("##### 4", None),
        (r"cut off: \boxed{\frac{1}{", None),
        ("the answer is 4", None),
        ("", None),
    ],
)
def test_a_stated_gold_answer(solution: str, gold: str | None) -> None:
    assert stated_gold(solution) == gold


@pytest.mark.parametrize("value", [b"4", ("k", "v"), [b"4"]])
def test_what_parquet_has_that_is_no_answer(value: Any) -> None:
    with pytest.raises(BadRow, match=r"answer: .* is neither text nor a number"):
        gold_text(value)


def test_numbers_and_flags() -> None:
    assert [number(v, "n") for v in (3, "4.5", "", None, float("nan"))] == [3, 4.5, None, None, None]
    assert [level(v) for v in ("Level 5", 3, "Level ?", None, "hard")] == [5, 3, None, None, None]
    assert [flag(v, "f") for v in (True, 0, "Yes", "no", 1.0, None, "")] == [
        True, False, True, False, True, None, None,
    ]  # fmt: skip
    assert [parse_pass_rate(v) for v in (0.5, "0.5", "3/32", None)] == [(0.5, 1), (0.5, 1), (3, 32), (0, 0)]


@pytest.mark.parametrize("value", ["many", True, float("inf"), [1], 10**400])
def test_values_that_are_not_numbers(value: Any) -> None:
    with pytest.raises(BadRow, match=r"n: .* is not a number"):
        number(value, "n")


def test_values_that_are_not_flags() -> None:
    with pytest.raises(BadRow, match="correct: 'perhaps' is neither true nor false"):
        flag("perhaps", "correct")
