"""Properties over generated answers: formats are read back, rewrites keep or change the verdict, nothing
raises."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from limo_ablate.verify import verify
from limo_ablate.verify.answer import read_answer
from limo_ablate.verify.api import compare_answers
from limo_ablate.verify.scalar import exact

integers = st.integers(-(10**12), 10**12)
fractions = st.fractions(min_value=-1000, max_value=1000, max_denominator=500)
small = st.integers(-9, 9).filter(bool)


def spelt(value: Fraction, style: int) -> str:
    """`value` in one of the ways people write it."""
    top, bottom, sign = abs(value.numerator), value.denominator, "-" if value < 0 else ""
    if bottom == 1:
        return (f"{value}", f"{sign}{top:,}", f"{value}.0", f"{sign}{top:,}".replace(",", "{,}"))[style % 4]
    whole, rest = divmod(top, bottom)
    mixed = f"{sign}{whole}\\frac{{{rest}}}{{{bottom}}}" if whole else f"{sign}\\frac{{{top}}}{{{bottom}}}"
    return (
        f"{sign}\\frac{{{top}}}{{{bottom}}}",
        f"{sign}{top}/{bottom}",
        mixed,
        f"\\dfrac{{{sign}{top}}}{{{bottom}}}",
    )[style % 4]


@given(fractions, st.integers(0, 3))
def test_formatted_numbers_are_parsed_back(value: Fraction, style: int) -> None:
    answer = read_answer(spelt(value, style))
    assert answer.node is not None
    assert exact(answer.node) == value


@given(fractions, st.integers(0, 3), st.integers(0, 3))
def test_spellings_of_one_number_agree(value: Fraction, one: int, other: int) -> None:
    assert compare_answers(spelt(value, one), spelt(value, other)).equal is True


@given(fractions, fractions, st.integers(0, 3), st.integers(0, 3))
def test_different_numbers_differ(one: Fraction, other: Fraction, first: int, second: int) -> None:
    if one != other:
        assert compare_answers(spelt(one, first), spelt(other, second)).equal is False


@given(integers, st.sampled_from([1, -1, 10, 100]))
def test_neighbours_of_integers_are_wrong(value: int, step: int) -> None:
    assert compare_answers(str(value), str(value + step)).equal is False
    assert compare_answers(str(value), f"{value}.0001").equal is False


@given(st.lists(small, min_size=2, max_size=4), st.sampled_from("xyn"))
def test_polynomials_are_compared_as_functions(roots: list[int], letter: str) -> None:
    factored = "".join(f"({letter}{-root:+d})" for root in roots)
    coefficients = [1]
    for root in roots:
        coefficients = [a - root * b for a, b in zip([*coefficients, 0], [0, *coefficients], strict=True)]
    expanded = "".join(f"{c:+d}{letter}^{{{len(roots) - k}}}" for k, c in enumerate(coefficients))
    assert compare_answers(factored, expanded).equal is True
    assert compare_answers(factored, expanded + "+1").equal is False
    assert compare_answers(f"{factored}=0", f"3({expanded})=0").equal is True


@given(st.integers(2, 60), st.integers(2, 60), small)
def test_radicals(a: int, b: int, c: int) -> None:
    gold = f"{c}\\sqrt{{{a * a * b}}}"
    assert compare_answers(gold, f"{a * c}\\sqrt{{{b}}}").equal is True
    assert compare_answers(gold, f"{a * c}\\sqrt{{{b + 1}}}").equal is False


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=6, unique=True), st.randoms())
def test_order_matters_in_tuples_and_not_in_sets(items: list[int], random: object) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (", ".join(map(str, order)) for order in (items, shuffled))
    assert compare_answers(f"\\{{{one}\\}}", f"\\{{{other}\\}}").equal is True
    if len(items) > 1:
        assert compare_answers(one, other).equal is True
        assert compare_answers(f"({one})", f"({other})").equal is (items == shuffled)
        assert compare_answers(f"\\{{{one}\\}}", f"\\{{{', '.join(map(str, items[1:]))}\\}}").equal is False


@given(st.integers(-50, 50), st.integers(1, 50), st.sampled_from("[("), st.sampled_from("])"))
def test_intervals_are_inequalities(low: int, length: int, left: str, right: str) -> None:
    high = low + length
    below, above = ("\\le" if left == "[" else "<"), ("\\le" if right == "]" else "<")
    gold = f"{left}{low},{high}{right}"
    assert compare_answers(f"x \\in {gold}", f"{low} {below} x {above} {high}").equal is True
    other = "]" if right == ")" else ")"
    assert compare_answers(gold, f"{left}{low},{high}{other}").equal is False


TEXT = st.text(
    st.sampled_from("0123456789+-*/^_=<>()[]{}|,.;:!%&$\\ abcdefxyzπ√°²½∞≤∪，。（）中文'\""), max_size=60
)
PIECES = st.lists(
    st.sampled_from(
        [
            r"\frac",
            r"\sqrt",
            r"\sin",
            r"\log",
            r"\binom",
            r"\begin{pmatrix}",
            r"\end{pmatrix}",
            r"\begin{cases}",
            r"\end{cases}",
            r"\\",
            r"&",
            r"\{",
            r"\}",
            r"{",
            r"}",
            r"(",
            r")",
            r"[",
            r"]",
            r"\left",
            r"\right",
            r"\cup",
            r"\cap",
            r"\pm",
            r"\le",
            r"\in",
            r"\text{or}",
            r"\text{cm}",
            r"\mathrm{m}",
            r"\%",
            r"^\circ",
            r"\int",
            r"\sum_{k=1}",
            r"\lim",
            r"\to",
            r"\infty",
            r"^",
            r"_",
            r"!",
            r"|",
            r",",
            r";",
            r"=",
            r"<",
            r"+",
            r"-",
            r"*",
            r"/",
            r"1",
            r"23",
            r"4.5",
            r"x",
            r"y",
            r"\pi",
            r"e",
            r"i",
            r"\boxed{",
            r"\text{",
            r"d",
            r"\mid",
            r"\ldots",
            r"\pmod{7}",
            r"\overline{AB}",
            r"2e5",
            r"B",
        ]
    ),
    max_size=30,
).map("".join)


@settings(max_examples=300)
@given(st.one_of(TEXT, PIECES, st.text(max_size=80)), st.one_of(TEXT, PIECES))
def test_no_text_raises_and_equality_is_symmetric(one: str, other: str) -> None:
    verdict = verify(f"\\boxed{{{one}}}", other)
    assert verdict.rule != "error", verdict.reason
    if one.strip() and other.strip() and "\\int" not in one + other and "\\lim" not in one + other:
        forth, back = compare_answers(one, other), compare_answers(other, one)
        assert (forth.equal is True) == (back.equal is True), (forth, back)


@settings(max_examples=200)
@given(st.one_of(TEXT, PIECES))
def test_everything_equals_itself(text: str) -> None:
    if text.strip():
        assert compare_answers(text, text).equal is True
