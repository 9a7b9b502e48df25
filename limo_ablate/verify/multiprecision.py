"""Evaluation to many digits, for values that agree in double precision. Each thread has an mpmath context."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import mpmath

from limo_ablate.verify.algebra import Algebra, BoundAlgebra, Undefined, Unsupported, evaluate
from limo_ablate.verify.deadline import check_time
from limo_ablate.verify.limits import MAX_LOG10, MAX_PRECISION, PRECISION, LimitReached
from limo_ablate.verify.nodes import Node, Number, children

GUARD_DIGITS = 30
"""Digits added in a second evaluation, which shows how many digits of the first are right."""

_LOCAL = threading.local()


def digits_needed(*nodes: Node) -> int:
    """Working digits: those that must agree, plus the digits of the numbers as written."""
    return 2 * PRECISION + sum(map(_digits, nodes))


def _digits(node: Node) -> int:
    if isinstance(node, Number):
        bits = node.value.numerator.bit_length() + node.value.denominator.bit_length()
        return bits // 3 if bits > 30 else 0
    return sum(map(_digits, children(node)))


def agree(gold: Node, answer: Node, point: Mapping[str, Fraction], *, real: bool) -> bool:
    """Whether two values agree to PRECISION digits, or are both zero to twice as many.

    Each value is computed with two precisions. Their difference estimates the rounding error; digits are
    doubled until it is small relative to the values. Raises LimitReached if MAX_PRECISION digits are not
    enough.
    """
    digits = digits_needed(gold, answer)
    while True:
        values = []
        for working in (digits, digits + GUARD_DIGITS):
            algebra = Multiprecision(working, point, real=real)
            values.append((evaluate(gold, algebra), evaluate(answer, algebra)))
        (a, b), (finer_a, finer_b) = values
        size, error = max(abs(finer_a), abs(finer_b)), max(abs(a - finer_a), abs(b - finer_b))
        ten = algebra.ctx.mpf(10)
        if error <= size * ten ** -(PRECISION + 5):
            return bool(abs(finer_a - finer_b) <= size * ten**-PRECISION)
        if digits >= 4 * PRECISION and size < ten ** -(digits // 2):
            return True
        digits *= 2


class Multiprecision:
    """Complex numbers of `digits` digits, at the given values of the letters.

    With `real`, an odd root of a negative number is the real one.
    """

    def __init__(self, digits: int, values: Mapping[str, Fraction], *, real: bool) -> None:
        if digits > MAX_PRECISION:
            raise LimitReached(f"more than {MAX_PRECISION} digits to compute")
        if not hasattr(_LOCAL, "context"):
            _LOCAL.context = mpmath.mp.clone()
        self.ctx: Any = _LOCAL.context
        self.ctx.dps = digits
        self.values, self.real = values, real

    def _checked(self, value: Any) -> Any:
        check_time()
        size = abs(value)
        if self.ctx.isnan(size) or self.ctx.isinf(size):
            raise Undefined("no finite value")
        if self.ctx.mag(size) > 4 * MAX_LOG10:
            raise LimitReached(f"a magnitude beyond 10^{MAX_LOG10}")
        return value

    def number(self, value: Fraction) -> Any:
        return self._checked(self.ctx.mpf(value.numerator) / value.denominator)

    def constant(self, name: str) -> Any:
        if name == "inf":
            raise Unsupported("infinity")
        return {"pi": +self.ctx.pi, "e": +self.ctx.e, "i": self.ctx.mpc(0, 1)}[name]

    def symbol(self, name: str) -> Any:
        if name not in self.values:
            raise Unsupported(name)
        return self.number(self.values[name])

    def add(self, a: Any, b: Any) -> Any:
        return self._checked(a + b)

    def mul(self, a: Any, b: Any) -> Any:
        return self._checked(a * b)

    def power(self, a: Any, b: Any) -> Any:
        if a == 0 and (self.ctx.re(b) <= 0 or self.ctx.im(b) != 0):
            raise Undefined("division by zero")
        if a != 0 and abs(b) * (abs(self.ctx.mag(a)) + 2) > 4 * MAX_LOG10:
            raise LimitReached(f"a magnitude beyond 10^{MAX_LOG10}")
        return self._checked(self.ctx.power(a, b))

    def root(self, a: Any, exponent: Fraction) -> Any:
        if self.real and exponent.denominator % 2 and self.ctx.im(a) == 0 and self.ctx.re(a) < 0:
            return (-1) ** exponent.numerator * self.power(-self.ctx.re(a), self.number(exponent))
        return self.power(a, self.number(exponent))

    def call(self, name: str, args: list[Any]) -> Any:
        function = _FUNCTIONS.get(name)
        if function is None:
            raise Unsupported(name)
        if any(abs(arg) > 10**9 for arg in args) and name not in ("ln", "log", "abs", "max", "min"):
            raise LimitReached(f"{name} of a large number")
        try:
            return self._checked(function(self.ctx, *args))
        except TypeError as error:
            raise Unsupported(name) from error
        except (ValueError, ZeroDivisionError) as error:
            raise Undefined(name) from error

    def bind(self, name: str, value: int) -> Algebra:
        return BoundAlgebra(self, name, Fraction(value))


def _mpmath(name: str) -> Callable[..., Any]:
    return lambda ctx, *args: getattr(ctx, name)(*args)


def _rounded(step: str) -> Callable[..., Any]:
    """Floor or ceiling; a value within 10^-PRECISION of an integer is taken as that integer."""

    def apply(ctx: Any, x: Any) -> Any:
        if ctx.im(x) != 0:
            raise Unsupported(step)
        nearest = ctx.nint(ctx.re(x))
        if abs(x - nearest) < ctx.mpf(10) ** -PRECISION:
            return nearest
        return getattr(ctx, step)(ctx.re(x))

    return apply


def _bounded(name: str) -> Callable[..., Any]:
    """Factorials and binomials of bounded real arguments."""

    def apply(ctx: Any, *args: Any) -> Any:
        if any(abs(arg) > 2000 for arg in args):
            raise LimitReached(f"{name} of a large number")
        return getattr(ctx, name)(*args)

    return apply


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{name: _mpmath(name) for name in
       ["sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan", "acot", "asec", "acsc", "sinh",
       "cosh", "tanh", "coth", "asinh", "acosh", "atanh", "arg", "erf"]},
    "acot": lambda ctx, x: ctx.pi / 2 - ctx.atan(x),
    "ln": lambda ctx, x: ctx.ln(x),
    "log": lambda ctx, x, base: ctx.ln(x) / ctx.ln(base),
    "abs": lambda ctx, x: abs(x),
    "re": lambda ctx, x: ctx.re(x),
    "im": lambda ctx, x: ctx.im(x),
    "floor": _rounded("floor"),
    "ceil": _rounded("ceil"),
    "factorial": _bounded("factorial"),
    "binomial": _bounded("binomial"),
    "max": lambda ctx, *args: max(args),
    "min": lambda ctx, *args: min(args),
}  # fmt: skip
