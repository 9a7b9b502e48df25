"""Decimals that are the rounding of an exact value."""

from __future__ import annotations

from fractions import Fraction

from limo_ablate.verify.measures import quantity
from limo_ablate.verify.nodes import Constant, Degrees, Mul, Node, Number, Percent, Power, children, symbols
from limo_ablate.verify.outcome import Outcome, same
from limo_ablate.verify.rational import exact
from limo_ablate.verify.scalar import approximate

SIGNIFICANT = 3
"""Digits a decimal must show to pass as a rounding of an exact value."""


def rounded(gold: Node, answer: Node) -> Outcome | None:
    """Equal where one side is a decimal and the other an exact value it is the rounding of.

    The decimal must show at least SIGNIFICANT digits, and the value be one that no decimal writes exactly:
    100 is not 99.99, and 1/8 is not 0.13.
    """
    g, a = quantity(gold), quantity(answer)
    if (g.dimensions and a.dimensions and g.factor != a.factor) or symbols(gold) or symbols(answer):
        return None
    for decimal, value in ((a.value, g.value), (g.value, a.value)):
        if isinstance(decimal, (Percent, Degrees)):
            value = value.value if isinstance(value, type(decimal)) else value
            decimal = decimal.value
        shown = _decimal(decimal)
        if shown is not None and _rounds_to(value, shown):
            return same("rounding")
    return None


def _decimal(node: Node) -> Number | None:
    """A decimal, also -0.5 and 1.6 x 10^-19, with the digits it shows; None for anything else."""
    if isinstance(node, Number):
        return node if node.shown is not None else None
    if isinstance(node, Mul) and all(isinstance(f, (Number, Power)) for f in node.factors):
        decimals = [f for f in node.factors if isinstance(f, Number) and f.shown is not None]
        powers = [f for f in node.factors if isinstance(f, Power)]
        if len(decimals) == len(powers) == 1 and powers[0].base == Number(Fraction(10)):
            value, exponent = exact(node), exact(powers[0].exponent)
            if value is not None and exponent is not None and exponent.denominator == 1:
                return Number(value, (decimals[0].shown or 0) - int(exponent))
    return None


def _rounds_to(value: Node, decimal: Number) -> bool:
    shown = decimal.shown or 0
    unit = Fraction(10) ** -shown
    if abs(decimal.value) < unit * 10 ** (SIGNIFICANT - 1):
        return False
    rational = exact(value)
    if rational is None:
        number = approximate(value)
        if number is None or not _irrational(value):
            return False
        rational = Fraction(number)
    elif _terminates(rational):
        return False
    return abs(rational - decimal.value) <= unit / 2


def _irrational(value: Node) -> bool:
    return isinstance(value, Constant) or bool(children(value))


def _terminates(value: Fraction) -> bool:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1
