"""Evaluation in exact rational numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from limo_ablate.verify.algebra import Algebra, BoundAlgebra, Undefined, Unsupported, evaluate
from limo_ablate.verify.deadline import check_time
from limo_ablate.verify.limits import MAX_BITS, MAX_FACTORIAL, LimitReached
from limo_ablate.verify.nodes import Node, NotParsed, Number

LARGE = 4_000
"""Bits of numbers whose arithmetic takes so long that the time is looked at."""


class Rational:
    """Exact rational numbers; a root only if it is rational."""

    def number(self, value: Fraction) -> Fraction:
        return value

    def constant(self, name: str) -> Fraction:
        raise Unsupported(name)

    def symbol(self, name: str) -> Fraction:
        raise Unsupported(name)

    def add(self, a: Fraction, b: Fraction) -> Fraction:
        return sized(a + b)

    def mul(self, a: Fraction, b: Fraction) -> Fraction:
        return sized(a * b)

    def power(self, a: Fraction, b: Fraction) -> Fraction:
        if a == 0 and b < 0:
            raise Undefined("division by zero")
        if a == 0 and b == 0:
            raise Undefined("0^0")
        if a in (0, 1):
            return a
        if b.denominator != 1:
            a, b = _exact_root(a, b.denominator), Fraction(b.numerator)
        if abs(b) > MAX_BITS or abs(b) * _bits(a) > MAX_BITS:
            if a == -1:
                return Fraction(-1 if b % 2 else 1)
            raise LimitReached(f"an exact number of more than {MAX_BITS} bits")
        return a ** int(b)

    root = power

    def call(self, name: str, args: list[Fraction]) -> Fraction:
        function = _FUNCTIONS.get(name)
        if function is None:
            raise Unsupported(name)
        try:
            return sized(function(*args))
        except TypeError as error:
            raise Unsupported(f"{name} of {len(args)} values") from error

    def bind(self, name: str, value: int) -> Algebra:
        return BoundAlgebra(self, name, Fraction(value))


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def sized(value: Fraction) -> Fraction:
    """`value`; LimitReached if it has more than MAX_BITS bits."""
    bits = _bits(value)
    if bits > LARGE:
        check_time()
    if bits > MAX_BITS:
        raise LimitReached(f"an exact number of more than {MAX_BITS} bits")
    return value


def _exact_root(value: Fraction, degree: int) -> Fraction:
    if degree > 64 or (value < 0 and degree % 2 == 0):
        raise Unsupported("root")
    if value < 0:
        return -_exact_root(-value, degree)
    return Fraction(_integer_root(value.numerator, degree), _integer_root(value.denominator, degree))


def _integer_root(n: int, degree: int) -> int:
    if degree == 2:
        root = math.isqrt(n)
    elif n.bit_length() > 1000:
        raise Unsupported("root of a large number")
    else:
        root = round(n ** (1 / degree))
    for guess in (root - 1, root, root + 1):
        if guess >= 0 and guess**degree == n:
            return guess
    raise Unsupported("an irrational root")


def _nonnegative(value: Fraction) -> int:
    if value.denominator != 1 or value < 0:
        raise Unsupported("not a natural number")
    return int(value)


def _factorial(value: Fraction) -> Fraction:
    n = _nonnegative(value)
    if n > MAX_FACTORIAL:
        raise LimitReached(f"a factorial beyond {MAX_FACTORIAL}!")
    return Fraction(math.factorial(n))


def _binomial(n: Fraction, k: Fraction) -> Fraction:
    top, bottom = _nonnegative(n), _nonnegative(k)
    bottom = min(bottom, top - bottom) if bottom <= top else bottom
    if bottom > top:
        return Fraction(0)
    if bottom * (top // max(bottom, 1)).bit_length() + 2 * bottom > MAX_BITS or bottom > MAX_FACTORIAL:
        raise LimitReached("a large binomial coefficient")
    return Fraction(math.comb(top, bottom))


def _log(value: Fraction, base: Fraction) -> Fraction:
    """log_b(b^k) for integer k; other logarithms are irrational."""
    if value <= 0 or base <= 0 or base == 1:
        raise Undefined("logarithm")
    guess = round(_ln(value) / _ln(base))
    if abs(guess) < 10_000 and abs(guess) * _bits(base) < MAX_BITS and base**guess == value:
        return Fraction(guess)
    raise Unsupported("an irrational logarithm")


def _ln(value: Fraction) -> float:
    return math.log(value.numerator) - math.log(value.denominator)


def _modulo(a: Fraction, b: Fraction) -> Fraction:
    if b == 0:
        raise Undefined("division by zero")
    return a % b


_FUNCTIONS: Mapping[str, Any] = {
    "abs": abs,
    "floor": lambda x: Fraction(math.floor(x)),
    "ceil": lambda x: Fraction(math.ceil(x)),
    "factorial": _factorial,
    "binomial": _binomial,
    "log": _log,
    "gcd": lambda *a: Fraction(math.gcd(*map(_nonnegative, a))),
    "lcm": lambda *a: Fraction(math.lcm(*map(_nonnegative, a))),
    "max": max,
    "min": min,
    "mod": _modulo,
    "sign": lambda x: Fraction((x > 0) - (x < 0)),
    "re": lambda x: x,
    "im": lambda x: Fraction(0),
}


def exact(node: Node) -> Fraction | None:
    """The rational value of `node`, or None where it has none."""
    if isinstance(node, Number):
        return node.value
    try:
        value = evaluate(node, Rational())
    except (Unsupported, Undefined, LimitReached, NotParsed):
        return None
    return value if isinstance(value, Fraction) else None
