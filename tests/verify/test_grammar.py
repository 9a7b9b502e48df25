"""The grammar: what a text becomes, and what it refuses."""

from __future__ import annotations

import pytest

from limo_ablate.verify.answer import read_answer
from limo_ablate.verify.limits import LimitReached
from limo_ablate.verify.nodes import NotParsed
from limo_ablate.verify.parser import parse
from limo_ablate.verify.show import show


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"\frac12", "1*2^(-1)"),
        (r"\frac{1}2", "1*2^(-1)"),
        (r"\dfrac 59", "5*9^(-1)"),
        ("7 3/5", "38/5"),
        (r"3\frac{1}{7}", "22/7"),
        ("-2x^2", "-1*2*x^2"),
        ("2^3^2", "2^(3^2)"),
        ("a/b/c", "a*b^(-1)*c^(-1)"),
        ("1,250", "1250"),
        ("(1,250)", "(1, 250)"),
        ("10,20,300", "10, 20, 300"),
        (r"1\,234", "1234"),
        ("(2)(3)", "2*3"),
        ("3(4)", "3*4"),
        (r"0.1\overline{6}", "1/6"),
        ("0.333...", "1/3"),
        (r"\sin^2 2x", "(sin(2*x))^2"),
        (r"\sin^{-1} x", "asin(x)"),
        (r"\sin x \cos y", "sin(x)*cos(y)"),
        (r"\ln 2 + 1", "(ln(2) + 1)"),
        (r"\log_2 8", "log(8, 2)"),
        ("np.arcsin(10/13)", "asin(10*13^(-1))"),
        ("2**3", "2^3"),
        (r"{2 \over 3}", "2*3^(-1)"),
        (r"n!", "factorial(n)"),
        (r"|x-1|", "abs((x + -1))"),
        (r"2|x|", "2*abs(x)"),
        (r"\left\lfloor \frac{n}{2}\right\rfloor", "floor(n*2^(-1))"),
        (r"\sum_{i=1}^n i", "sum(i, i = 1, n)"),
        (r"\int_0^1 x^2\,dx", "integral(x^2, x, 0, 1)"),
        (r"[1,2)", "[1, 2)"),
        ("]1,2[", "(1, 2)"),
        (r"\{x \mid x > 0\}", "{x | x > 0}"),
        (r"1 < x \le 2", "1 < x <= 2"),
        (r"x=1 \text{ or } x=2", "x = 1, x = 2"),
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", "[1, 2; 3, 4]"),
        (r"30^\circ", "30°"),
        (r"35\%", "35%"),
        (r"\$5", "5*dollar"),
        ("2021_5", "2021_5"),
        ("f(2)", "f(2)"),
        ("I(0)", "I(0)"),
        (r"m_{\max}", "m_max"),
        ("3:4", "3:4"),
        ("√50", "50^(1/2)"),
        ("x²", "x^2"),
        ("５", "5"),
    ],
)
def test_parsed_trees(text: str, shown: str) -> None:
    answer = read_answer(text)
    assert answer.node is not None, answer.problem
    assert show(answer.node) == shown


@pytest.mark.parametrize(
    "text", ["", "1+", "(1,2", "5 6", r"\frac{1}", r"\unknown", "1 = ", "&", r"\begin{pmatrix} 1"]
)
def test_texts_outside_the_grammar(text: str) -> None:
    with pytest.raises(NotParsed):
        parse(text)


@pytest.mark.parametrize(
    "text", ["(" * 99, "1e99999999", "7" * 9_999, "+".join(["x"] * 5_000), ",".join("1" * 999)]
)
def test_limits(text: str) -> None:
    with pytest.raises(LimitReached):
        parse(text)
