"""Evaluation in complex double precision, which finds most differences cheaply."""

from __future__ import annotations

import cmath
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from limo_ablate.verify.algebra import Algebra, BoundAlgebra, Undefined, Unsupported

MAX_FLOAT_POWER = 1e5
MAX_FLOAT_ANGLE = 1e6
"""Beyond these limits, rounding of the argument changes digits that comparisons rely on."""
_CIRCULAR = frozenset(("sin", "cos", "tan", "cot", "sec", "csc"))


class _Doubles(ABC):
    """What real and complex double precision share. `scale` is the largest intermediate magnitude."""

    kind: type[float] | type[complex]
    constants: Mapping[str, Any]
    functions: Mapping[str, Any]

    def __init__(self, point: Mapping[str, Fraction] | None = None) -> None:
        self.point = point or {}
        self.scale = 0.0

    def _checked(self, value: Any) -> Any:
        size = abs(value)
        if size > self.scale:
            self.scale = size
        if size != size or size == math.inf:
            raise Unsupported("beyond double precision")
        return value

    def number(self, value: Fraction) -> Any:
        try:
            return self._checked(self.kind(value.numerator / value.denominator))
        except OverflowError as error:
            raise Unsupported("beyond double precision") from error

    def constant(self, name: str) -> Any:
        if name not in self.constants:
            raise Unsupported(name)
        return self.constants[name]

    def symbol(self, name: str) -> Any:
        if name not in self.point:
            raise Unsupported(name)
        return self.number(self.point[name])

    def add(self, a: Any, b: Any) -> Any:
        return self._checked(a + b)

    def mul(self, a: Any, b: Any) -> Any:
        return self._checked(a * b)

    def call(self, name: str, args: list[Any]) -> Any:
        function = self.functions.get(name)
        if function is None or (name in _CIRCULAR and abs(args[0]) > MAX_FLOAT_ANGLE):
            raise Unsupported(name)
        try:
            return self._checked(self.kind(function(*args)))
        except (OverflowError, TypeError) as error:
            raise Unsupported(name) from error
        except (ValueError, ZeroDivisionError) as error:
            raise Undefined(name) from error

    def bind(self, name: str, value: int) -> Algebra:
        return BoundAlgebra(self, name, Fraction(value))

    @abstractmethod
    def power(self, a: Any, b: Any) -> Any:
        """`a` to the power `b`; raises Undefined or Unsupported."""

    def root(self, a: Any, exponent: Fraction) -> Any:
        return self.power(a, self.number(exponent))


class Floats(_Doubles):
    """Complex double precision."""

    kind = complex

    def power(self, a: complex, b: complex) -> complex:
        if a == 0 and (b.real <= 0 or b.imag):
            raise Undefined("division by zero")
        try:
            if abs(b) > MAX_FLOAT_POWER:
                raise Unsupported("a power that double precision blurs")
            if b.imag == 0 and b.real == round(b.real):
                return complex(self._checked(a ** int(b.real)))
            return complex(self._checked(cmath.exp(b * cmath.log(a)) if a != 0 else 0j))
        except (OverflowError, ZeroDivisionError) as error:
            raise Unsupported("beyond double precision") from error


class Reals(_Doubles):
    """Real double precision: without even roots and logarithms of negative numbers."""

    kind = float

    def power(self, a: float, b: float) -> float:
        if a == 0 and b <= 0:
            raise Undefined("division by zero")
        if a < 0 and b != round(b):
            raise Undefined("a power of a negative number")
        if abs(b) > MAX_FLOAT_POWER:
            raise Unsupported("a power that double precision blurs")
        try:
            return float(self._checked(float(a**b)))
        except (OverflowError, ZeroDivisionError) as error:
            raise Unsupported("beyond double precision") from error

    def root(self, a: float, exponent: Fraction) -> float:
        if a < 0 and exponent.denominator % 2:
            value = self.power(-a, self.number(exponent))
            return -value if exponent.numerator % 2 else value
        return self.power(a, self.number(exponent))


def _real(value: complex) -> float:
    if abs(value.imag) > 1e-12 * max(1.0, abs(value.real)):
        raise Unsupported("not real")
    return value.real


def _integer(value: complex) -> int:
    number = _real(value)
    if number != round(number) or abs(number) > 1e15:
        raise Unsupported("not an integer")
    return round(number)


def _float_factorial(x: complex) -> complex:
    n = _integer(x)
    if n < 0:
        raise Undefined("factorial")
    if n > 170:
        raise Unsupported("beyond double precision")
    return complex(math.factorial(n))


def _float_binomial(n: complex, k: complex) -> complex:
    top, bottom = _integer(n), _integer(k)
    if top < 0 or bottom < 0 or min(bottom, abs(top - bottom)) > 1000:
        raise Unsupported("binomial")
    return complex(math.comb(top, bottom))


_FUNCTIONS: Mapping[str, Any] = {
    "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan,
    "cot": lambda x: 1 / cmath.tan(x), "sec": lambda x: 1 / cmath.cos(x), "csc": lambda x: 1 / cmath.sin(x),
    "asin": cmath.asin, "acos": cmath.acos, "atan": cmath.atan,
    "acot": lambda x: math.pi / 2 - cmath.atan(x), "asec": lambda x: cmath.acos(1 / x),
    "acsc": lambda x: cmath.asin(1 / x),
    "sinh": cmath.sinh, "cosh": cmath.cosh, "tanh": cmath.tanh, "coth": lambda x: 1 / cmath.tanh(x),
    "asinh": cmath.asinh, "acosh": cmath.acosh, "atanh": cmath.atanh,
    "ln": cmath.log, "log": lambda x, b: cmath.log(x) / cmath.log(b),
    "abs": lambda x: complex(abs(x)), "re": lambda x: complex(x.real), "im": lambda x: complex(x.imag),
    "arg": lambda x: complex(cmath.phase(x)), "sign": lambda x: complex((_real(x) > 0) - (_real(x) < 0)),
    "floor": lambda x: complex(math.floor(_real(x) + 1e-12)),
    "ceil": lambda x: complex(math.ceil(_real(x) - 1e-12)),
    "factorial": _float_factorial, "binomial": _float_binomial,
    "max": lambda *a: complex(max(map(_real, a))), "min": lambda *a: complex(min(map(_real, a))),
    "gcd": lambda *a: complex(math.gcd(*map(_integer, a))),
    "lcm": lambda *a: complex(math.lcm(*map(_integer, a))),
    "mod": lambda a, b: complex(_real(a) % _real(b)), "erf": lambda x: complex(math.erf(_real(x))),
}  # fmt: skip


def _real_factorial(x: float) -> float:
    return _float_factorial(complex(x)).real


_REAL_FUNCTIONS: Mapping[str, Any] = {
    "sin": math.sin, "cos": math.cos, "tan": math.tan,
    "cot": lambda x: 1 / math.tan(x), "sec": lambda x: 1 / math.cos(x), "csc": lambda x: 1 / math.sin(x),
    "asin": math.asin, "acos": math.acos, "atan": math.atan,
    "acot": lambda x: math.pi / 2 - math.atan(x), "asec": lambda x: math.acos(1 / x),
    "acsc": lambda x: math.asin(1 / x),
    "sinh": math.sinh, "cosh": math.cosh, "tanh": math.tanh, "coth": lambda x: 1 / math.tanh(x),
    "asinh": math.asinh, "acosh": math.acosh, "atanh": math.atanh,
    "ln": math.log, "log": lambda x, b: math.log(x) / math.log(b),
    "abs": abs, "re": float, "im": lambda x: 0.0,
    "arg": lambda x: math.pi if x < 0 else 0.0, "sign": lambda x: (x > 0) - (x < 0),
    "floor": lambda x: math.floor(x + 1e-12), "ceil": lambda x: math.ceil(x - 1e-12),
    "factorial": _real_factorial, "binomial": lambda n, k: _float_binomial(complex(n), complex(k)).real,
    "max": max, "min": min,
    "gcd": lambda *a: math.gcd(*(_integer(complex(x)) for x in a)),
    "lcm": lambda *a: math.lcm(*(_integer(complex(x)) for x in a)),
    "mod": lambda a, b: a % b, "erf": math.erf,
}  # fmt: skip

Floats.constants = {"pi": complex(math.pi), "e": complex(math.e), "i": 1j}
Floats.functions = _FUNCTIONS
Reals.constants = {"pi": math.pi, "e": math.e}
Reals.functions = _REAL_FUNCTIONS
