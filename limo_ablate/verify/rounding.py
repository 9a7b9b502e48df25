"""Accepts decimals that are a rounding of an exact value."""

from __future__ import annotations

from fractions import Fraction

from limo_ablate.verify.nodes import Constant, Degrees, Mul, Node, Number, Percent, Power, children, symbols
from limo_ablate.verify.quantity import quantity, scaled
from limo_ablate.verify.rational import exact
from limo_ablate.verify.scalar import approximate
from limo_ablate.verify.verdict import Outcome, same

SIGNIFICANT = 3
"""Significant digits that a decimal must have to count as a rounding of an exact value."""


DOUBLE = 14
"""Decimals from which digits are those that double precision prints."""


def rounded(gold: Node, answer: Node) -> Outcome | None:
    """`same` if one side is a decimal and a rounding of the other side's exact value; else None.

    The decimal needs at least SIGNIFICANT digits, and the exact value must have no finite decimal: 100 is not
    99.99, and 1/8 is not 0.13.
    """
    g, a = quantity(gold), quantity(answer)
    if (g.dimensions and a.dimensions and g.factor != a.factor) or symbols(gold) or symbols(answer):
        return None
    for decimal, value in ((a.value, g.value), (g.value, a.value)):
        values = [value]
        if isinstance(decimal, (Percent, Degrees)):
            values = [value.value] if isinstance(value, type(decimal)) else [value]
            if isinstance(decimal, Percent) and not isinstance(value, Percent):
                values.append(scaled(value, Fraction(100)))
            decimal = decimal.value
        number = _decimal(decimal)
        if number is not None and any(_rounds_to(value, number) for value in values):
            return same("rounding")
    return None


def _decimal(node: Node) -> Number | None:
    """A decimal such as -0.5 or 1.6 x 10^-19 with its number of decimals; None for anything else."""
    if isinstance(node, Number):
        return node if node.decimals is not None else None
    if isinstance(node, Mul) and all(isinstance(f, (Number, Power)) for f in node.factors):
        decimals = [f for f in node.factors if isinstance(f, Number) and f.decimals is not None]
        powers = [f for f in node.factors if isinstance(f, Power)]
        if len(decimals) == len(powers) == 1 and powers[0].base == Number(Fraction(10)):
            value, exponent = exact(node), exact(powers[0].exponent)
            if value is not None and exponent is not None and exponent.denominator == 1:
                return Number(value, (decimals[0].decimals or 0) - int(exponent))
    return None


def _rounds_to(value: Node, decimal: Number) -> bool:
    unit = Fraction(10) ** -(decimal.decimals or 0)
    long = (decimal.decimals or 0) >= DOUBLE and abs(decimal.value) >= 10**DOUBLE * unit
    if long and _same_double(value, decimal.value):
        return True
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


def _same_double(value: Node, decimal: Fraction) -> bool:
    """Whether a decimal of so many digits is a value in double precision, whose last digits vary."""
    rational = exact(value)
    number = approximate(value) if rational is None else None
    if number is not None:
        rational = Fraction(number)
    return rational is not None and abs(rational - decimal) <= abs(decimal) * Fraction(5, 10**16)


def _irrational(value: Node) -> bool:
    return isinstance(value, Constant) or bool(children(value))


def _terminates(value: Fraction) -> bool:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1
