"""Numerals: decimals with the digits they show, and digits in a stated base."""

from __future__ import annotations

from fractions import Fraction

from limo_ablate.verify.limits import MAX_DIGITS, MAX_EXPONENT, LimitReached
from limo_ablate.verify.nodes import Node, NotParsed, Number, Numeral
from limo_ablate.verify.vocabulary import NUMBER_WORDS


def number(text: str) -> Number:
    """A numeral: exact if it shows no decimal point."""
    mantissa, _, power = text.lower().partition("e")
    whole, point, decimals = mantissa.partition(".")
    if len(mantissa) > MAX_DIGITS:
        raise LimitReached(f"a numeral of more than {MAX_DIGITS} digits")
    if power and (len(power) > 7 or abs(int(power)) > MAX_EXPONENT):
        raise LimitReached(f"a power of ten beyond {MAX_EXPONENT}")
    value = Fraction(int((whole + decimals) or "0"))
    shift = int(power or "0") - len(decimals)
    value = value * 10**shift if shift >= 0 else value / 10**-shift
    return Number(value, -shift if (point and decimals) or power else None)


def numeral(digits: str, base: Node) -> Numeral:
    value = base.value if isinstance(base, Number) else NUMBER_WORDS.get(getattr(base, "name", ""), 0)
    if not 2 <= value <= 36 or not digits.isalnum():
        raise NotParsed(f"{digits} in base {value}")
    return Numeral(digits, int(value))


def value_of_numeral(node: Numeral) -> Fraction:
    try:
        return Fraction(int(node.digits, node.base))
    except ValueError as error:
        raise NotParsed(f"{node.digits} has digits that base {node.base} lacks") from error
