"""Numerals: decimals, mixed numbers, repeating decimals and digits in a base."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from limo_ablate.verify.limits import MAX_DIGITS, MAX_EXPONENT, LimitReached
from limo_ablate.verify.nodes import Node, NotParsed, Number, Numeral, Symbol
from limo_ablate.verify.vocabulary import NUMBER_WORDS

if TYPE_CHECKING:
    from limo_ablate.verify.parser import Parser


def parse_number(text: str) -> Number:
    """The number of a numeral, which is exact if it has no decimal point."""
    mantissa, _, power = text.lower().partition("e")
    whole, point, decimals = mantissa.partition(".")
    if len(mantissa) > MAX_DIGITS:
        raise LimitReached(f"a numeral of more than {MAX_DIGITS} digits")
    if power and (len(power) > 7 or abs(int(power)) > MAX_EXPONENT):
        raise LimitReached(f"a power of ten beyond {MAX_EXPONENT}")
    digits = int((whole + decimals) or "0")
    shift = int(power or "0") - len(decimals)
    value = Fraction(digits * 10**shift) if shift >= 0 else Fraction(digits, 10**-shift)
    return Number(value, -shift if (point and decimals) or power else None)


def parse_numeral(digits: str, base: Node) -> Numeral:
    value = base.value if isinstance(base, Number) else NUMBER_WORDS.get(getattr(base, "name", ""), 0)
    if not 2 <= value <= 36 or not digits.isalnum():
        raise NotParsed(f"{digits} in base {value}")
    return Numeral(digits, int(value))


def value_of_numeral(node: Numeral) -> Fraction:
    try:
        return Fraction(int(node.digits, node.base))
    except ValueError as error:
        raise NotParsed(f"{node.digits} has digits that base {node.base} lacks") from error


def read_number(p: Parser, text: str) -> Node:

    if p.peek() == "_" and text.isdigit():
        p.next()
        return parse_numeral(text, _subscript_base(p))
    value = parse_number(text)
    return _mixed_number(p, value) or value


def _mixed_number(p: Parser, whole: Number) -> Number | None:
    """7 3/5 and 7\\frac{3}{5}: a numeric fraction after an integer is added to it."""
    if whole.decimals is not None or whole.value == 0:
        return None
    token = p.token
    if token.text in ("frac", "dfrac", "tfrac") and token.kind == "cmd":
        digits = _digits(p)
        length = 7
        if not digits:
            return None
    elif token.kind == "num" and token.space and p.ahead().text == "/" and p.ahead(2).kind == "num":
        digits, length = (token.text, p.ahead(2).text), 3
    else:
        return None
    if not all(d.isdigit() and len(d) < MAX_DIGITS for d in digits):
        return None
    top, bottom = map(int, digits)
    if not top or not bottom:
        return None
    if length == 7:
        length = 1 + sum(3 if p.ahead(k).text == "{" else 1 for k in _argument_starts(p))
    if p.ahead(length).text == "^":
        return None
    p.at += length
    return Number(whole.value + Fraction(top, bottom))


def _argument_starts(p: Parser) -> tuple[int, int]:
    return 1, 4 if p.ahead(1).text == "{" else 2


def _digits(p: Parser) -> tuple[str, str] | None:
    """The two numerals of the \\frac that follows, in braces or as single digits."""
    numerals = []
    for at in _argument_starts(p):
        braced = p.ahead(at).text == "{"
        token = p.ahead(at + braced)
        if token.kind != "num" or (braced and p.ahead(at + 2).text != "}"):
            return None
        numerals.append(token.text)
    return numerals[0], numerals[1]


def repeating_decimal(text: str) -> Number:
    """The exact value of 0.1\\overline{6}, 0.\\dot{1}4\\dot{2} or 0.333..."""
    whole, _, decimals = text.partition(".")
    if "overline" in decimals or "bar" in decimals:
        fixed, _, block = decimals.partition("\\")
    elif "dot{" in decimals or "\\dot" in decimals:
        fixed, _, block = decimals.partition("\\dot")
    elif "(" in decimals:
        fixed, _, block = decimals.partition("(")
    else:
        digits = "".join(c for c in decimals if c.isdigit())
        size = next(n for n in range(1, 7) if digits.endswith(digits[-n:] * 3))
        fixed, block = digits[:-size], digits[-size:]
    block = "".join(c for c in block if c.isdigit())
    if len(fixed) + len(block) > MAX_DIGITS or not block:
        raise LimitReached(f"a numeral of more than {MAX_DIGITS} digits")
    scale = 10 ** len(fixed)
    return Number(
        Fraction(int(whole or "0")) + Fraction(int(fixed or "0"), scale)
        + Fraction(int(block), scale * (10 ** len(block) - 1))
    )  # fmt: skip


def _subscript_base(p: Parser) -> Node:

    braced = p.take("{")
    round_ = p.take("(")
    words = []
    while p.token.kind in ("num", "text", "name"):
        words.append(p.next().text.lower())
    if round_:
        p.expect(")")
    if braced:
        p.expect("}")
    word = "".join(words).replace("base", "").strip()
    return parse_number(word) if word.isdigit() else Symbol(word)
