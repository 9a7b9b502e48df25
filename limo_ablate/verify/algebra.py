"""One walk over the tree, in several number systems: exact rationals, floats, residues, many digits, SymPy.

`evaluate(node, algebra)` is all of them; an algebra says what numbers, constants, letters and functions are.
"""

from __future__ import annotations

import cmath
import math
import time
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Protocol

from limo_ablate.verify.limits import (
    CHEAP_SECONDS,
    MAX_BITS,
    MAX_DETERMINANT,
    MAX_FACTORIAL,
    MAX_TERMS,
    LimitReached,
)
from limo_ablate.verify.nodes import (
    Add,
    Call,
    Constant,
    Degrees,
    Matrix,
    Mul,
    Node,
    Number,
    Numeral,
    Percent,
    Power,
    Ratio,
    Relation,
    Symbol,
)
from limo_ablate.verify.parser import value_of_numeral


class Unsupported(Exception):
    """This algebra can't say; another one may."""


class Undefined(Exception):
    """There is no such value: a division by zero, the logarithm of 0."""


class Algebra(Protocol):
    """Values are whatever the algebra uses; the walk only hands them back to it."""

    def number(self, value: Fraction) -> Any: ...
    def constant(self, name: str) -> Any: ...
    def symbol(self, name: str) -> Any: ...
    def add(self, a: Any, b: Any) -> Any: ...
    def mul(self, a: Any, b: Any) -> Any: ...
    def power(self, a: Any, b: Any) -> Any: ...
    def call(self, name: str, args: list[Any]) -> Any: ...
    def bound(self, name: str, value: int) -> Algebra: ...


class Deadline:
    """The time the calling thread gives to one comparison, by its own clock."""

    def __init__(self, seconds: float = CHEAP_SECONDS) -> None:
        self.ends = time.perf_counter() + seconds

    def check(self) -> None:
        if time.perf_counter() > self.ends:
            raise LimitReached("time in the calling thread")


def evaluate(node: Node, algebra: Algebra) -> Any:
    """The value of a scalar tree. Raises Unsupported, Undefined or LimitReached."""
    match node:
        case Number():
            return algebra.number(node.value)
        case Symbol():
            return algebra.symbol(node.name)
        case Constant():
            return algebra.constant(node.name)
        case Add():
            total = evaluate(node.terms[0], algebra)
            for term in node.terms[1:]:
                total = algebra.add(total, evaluate(term, algebra))
            return total
        case Mul():
            total = evaluate(node.factors[0], algebra)
            for factor in node.factors[1:]:
                total = algebra.mul(total, evaluate(factor, algebra))
            return total
        case Power():
            return algebra.power(evaluate(node.base, algebra), evaluate(node.exponent, algebra))
        case Call(name="sum" | "product"):
            return _iterate(node, algebra)
        case Call(name="det", args=(Matrix(rows=rows),)):
            return _determinant(rows, algebra)
        case Call(name="integral" | "limit" | "det"):
            raise Unsupported(node.name)
        case Call():
            return algebra.call(node.name, [evaluate(arg, algebra) for arg in node.args])
        case Numeral():
            return algebra.number(value_of_numeral(node))
        case Percent():
            return algebra.mul(evaluate(node.value, algebra), algebra.number(Fraction(1, 100)))
        case Degrees():
            radians = algebra.mul(algebra.constant("pi"), algebra.number(Fraction(1, 180)))
            return algebra.mul(evaluate(node.value, algebra), radians)
        case Ratio(parts=(left, right)):
            return algebra.mul(
                evaluate(left, algebra), algebra.power(evaluate(right, algebra), algebra.number(_MINUS))
            )
    raise Unsupported(type(node).__name__)


_MINUS = Fraction(-1)


def _iterate(node: Call, algebra: Algebra) -> Any:
    """A finite sum or product over integers, term by term."""
    variable, lower, upper = series(node)
    low, high = (_whole(evaluate(end, algebra)) for end in (lower, upper))
    if high - low > MAX_TERMS:
        raise LimitReached(f"a sum or product of more than {MAX_TERMS} terms")
    total = algebra.number(Fraction(int(node.name == "product")))
    combine = algebra.add if node.name == "sum" else algebra.mul
    deadline = Deadline()
    for k in range(low, high + 1):
        deadline.check()
        total = combine(total, evaluate(node.args[0], algebra.bound(variable, k)))
    return total


def _determinant(rows: tuple[tuple[Node, ...], ...], algebra: Algebra) -> Any:
    """By the first row, up to MAX_DETERMINANT rows."""
    if len(rows) > MAX_DETERMINANT:
        raise LimitReached(f"a determinant of more than {MAX_DETERMINANT} rows")
    if any(len(row) != len(rows) for row in rows):
        raise Undefined("the determinant of a matrix that is not square")
    if len(rows) == 1:
        return evaluate(rows[0][0], algebra)
    total = algebra.number(Fraction(0))
    for column, entry in enumerate(rows[0]):
        minor = tuple(row[:column] + row[column + 1 :] for row in rows[1:])
        sign = algebra.number(Fraction(-1 if column % 2 else 1))
        term = algebra.mul(evaluate(entry, algebra), _determinant(minor, algebra))
        total = algebra.add(total, algebra.mul(sign, term))
    return total


def series(node: Call) -> tuple[str, Node, Node]:
    """(variable, lower, upper) of a sum or product; Unsupported where a bound is missing."""
    match node.args:
        case (_, Relation(operands=(Symbol(name=name), lower), operators=("=",)), upper):
            return name, lower, upper
    raise Unsupported("a sum without bounds")


def _whole(value: Any) -> int:
    """The integer that a value of any algebra is."""
    if isinstance(value, tuple):  # a residue, and the exact number it stands for
        value = value[1]
    if isinstance(value, Fraction):
        value = value if abs(value) < 10**9 else None
    number = None if value is None else complex(value)
    if number is None or number.imag or number.real != round(number.real) or abs(number) > 1e9:
        raise Unsupported("a bound that is no integer")
    return round(number.real)


class Rational:
    """Exact rational numbers; roots only where they are exact."""

    def number(self, value: Fraction) -> Fraction:
        return value

    def constant(self, name: str) -> Fraction:
        raise Unsupported(name)

    def symbol(self, name: str) -> Fraction:
        raise Unsupported(name)

    def add(self, a: Fraction, b: Fraction) -> Fraction:
        return _sized(a + b)

    def mul(self, a: Fraction, b: Fraction) -> Fraction:
        return _sized(a * b)

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

    def call(self, name: str, args: list[Fraction]) -> Fraction:
        function = _EXACT.get(name)
        if function is None:
            raise Unsupported(name)
        try:
            return _sized(function(*args))
        except TypeError as error:
            raise Unsupported(f"{name} of {len(args)} values") from error

    def bound(self, name: str, value: int) -> Algebra:
        return Bound(self, name, Fraction(value))


class Bound:
    """An algebra in which one more letter, the index of a sum, has a value."""

    def __init__(self, inner: Algebra, name: str, value: Fraction) -> None:
        self.inner, self.name, self.value = inner, name, value
        self.number, self.constant = inner.number, inner.constant
        self.add, self.mul, self.power, self.call = inner.add, inner.mul, inner.power, inner.call

    def symbol(self, name: str) -> Any:
        return self.inner.number(self.value) if name == self.name else self.inner.symbol(name)

    def bound(self, name: str, value: int) -> Algebra:
        return Bound(self, name, Fraction(value))


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _sized(value: Fraction) -> Fraction:
    if _bits(value) > MAX_BITS:
        raise LimitReached(f"an exact number of more than {MAX_BITS} bits")
    return value


def _exact_root(value: Fraction, degree: int) -> Fraction:
    if degree > 64 or value < 0:
        raise Unsupported("root")
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
    """log_b(b^k) for whole k; other logarithms are irrational."""
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


_EXACT: Mapping[str, Any] = {
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


MAX_FLOAT_POWER = 1e5
MAX_FLOAT_ANGLE = 1e6
"""Beyond these, rounding the argument changes digits of the value that comparisons rely on."""

_CIRCULAR = frozenset(("sin", "cos", "tan", "cot", "sec", "csc"))


class Floats:
    """Complex double precision: rejects what differs. `scale` is the largest magnitude met on the way."""

    def __init__(self, values: Mapping[str, complex] | None = None) -> None:
        self.values = values or {}
        self.scale = 0.0

    def _seen(self, value: complex) -> complex:
        size = abs(value)
        if size > self.scale:
            self.scale = size
        if size != size or size == math.inf:
            raise Unsupported("beyond double precision")
        return value

    def number(self, value: Fraction) -> complex:
        try:
            return self._seen(complex(value.numerator / value.denominator))
        except OverflowError as error:
            raise Unsupported("beyond double precision") from error

    def constant(self, name: str) -> complex:
        if name == "inf":
            raise Unsupported("infinity")
        return {"pi": complex(math.pi), "e": complex(math.e), "i": 1j}[name]

    def symbol(self, name: str) -> complex:
        if name not in self.values:
            raise Unsupported(name)
        return self.values[name]

    def add(self, a: complex, b: complex) -> complex:
        return self._seen(a + b)

    def mul(self, a: complex, b: complex) -> complex:
        return self._seen(a * b)

    def power(self, a: complex, b: complex) -> complex:
        if a == 0 and (b.real <= 0 or b.imag):
            raise Undefined("division by zero")
        try:
            if abs(b) > MAX_FLOAT_POWER:
                raise Unsupported("a power that double precision blurs")
            if b.imag == 0 and b.real == round(b.real):
                return self._seen(a ** int(b.real))
            return self._seen(cmath.exp(b * cmath.log(a)) if a != 0 else 0j)
        except (OverflowError, ZeroDivisionError) as error:
            raise Unsupported("beyond double precision") from error

    def call(self, name: str, args: list[complex]) -> complex:
        function = _FLOAT.get(name)
        if function is None or (name in _CIRCULAR and abs(args[0]) > MAX_FLOAT_ANGLE):
            raise Unsupported(name)
        try:
            return self._seen(function(*args))
        except (OverflowError, TypeError) as error:
            raise Unsupported(name) from error
        except (ValueError, ZeroDivisionError) as error:
            raise Undefined(name) from error

    def bound(self, name: str, value: int) -> Algebra:
        inner = Floats({**self.values, name: complex(value)})
        inner._seen = self._seen  # type: ignore[method-assign]
        return inner


def real(value: complex) -> float:
    if abs(value.imag) > 1e-12 * max(1.0, abs(value.real)):
        raise Unsupported("not real")
    return value.real


def whole(value: complex) -> int:
    number = real(value)
    if number != round(number) or abs(number) > 1e15:
        raise Unsupported("not an integer")
    return round(number)


def _float_factorial(x: complex) -> complex:
    n = whole(x)
    if n < 0:
        raise Undefined("factorial")
    if n > 170:
        raise Unsupported("beyond double precision")
    return complex(math.factorial(n))


def _float_binomial(n: complex, k: complex) -> complex:
    top, bottom = whole(n), whole(k)
    if top < 0 or bottom < 0 or min(bottom, abs(top - bottom)) > 1000:
        raise Unsupported("binomial")
    return complex(math.comb(top, bottom))


_FLOAT: Mapping[str, Any] = {
    "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan,
    "cot": lambda x: 1 / cmath.tan(x), "sec": lambda x: 1 / cmath.cos(x), "csc": lambda x: 1 / cmath.sin(x),
    "asin": cmath.asin, "acos": cmath.acos, "atan": cmath.atan,
    "acot": lambda x: math.pi / 2 - cmath.atan(x), "asec": lambda x: cmath.acos(1 / x),
    "acsc": lambda x: cmath.asin(1 / x),
    "sinh": cmath.sinh, "cosh": cmath.cosh, "tanh": cmath.tanh, "coth": lambda x: 1 / cmath.tanh(x),
    "asinh": cmath.asinh, "acosh": cmath.acosh, "atanh": cmath.atanh,
    "ln": cmath.log, "log": lambda x, b: cmath.log(x) / cmath.log(b),
    "abs": lambda x: complex(abs(x)), "re": lambda x: complex(x.real), "im": lambda x: complex(x.imag),
    "arg": lambda x: complex(cmath.phase(x)), "sign": lambda x: complex((real(x) > 0) - (real(x) < 0)),
    "floor": lambda x: complex(math.floor(real(x) + 1e-12)), "ceil": lambda x: complex(math.ceil(real(x) - 1e-12)),
    "factorial": _float_factorial, "binomial": _float_binomial,
    "max": lambda *a: complex(max(map(real, a))), "min": lambda *a: complex(min(map(real, a))),
    "gcd": lambda *a: complex(math.gcd(*map(whole, a))), "lcm": lambda *a: complex(math.lcm(*map(whole, a))),
    "mod": lambda a, b: complex(real(a) % real(b)), "erf": lambda x: complex(math.erf(real(x))),
}  # fmt: skip


class Residues:
    """Arithmetic modulo a prime, for rational functions: equal residues at random points prove an identity.

    The prime is 1 mod 4, so that i has a value; pi and e are letters like others. A nonzero rational function
    of degree d vanishes at a random point with probability at most d/p (Schwartz 1980, Zippel 1979).
    """

    PRIME = 2305843009213693921
    """The largest below 2^61 that is 1 mod 4."""
    I = 583529827753931384
    """A square root of -1."""

    def __init__(self, values: Mapping[str, int]) -> None:
        self.values = values

    def number(self, value: Fraction) -> tuple[int, Fraction | None]:
        return value.numerator * self._inverse(value.denominator) % self.PRIME, value

    def constant(self, name: str) -> tuple[int, None]:
        if name == "i":
            return self.I, None
        if name == "inf":
            raise Unsupported(name)
        return self.values["\\" + name], None

    def symbol(self, name: str) -> tuple[int, None]:
        if name not in self.values:
            raise Unsupported(name)
        return self.values[name], None

    def add(self, a: Any, b: Any) -> tuple[int, Fraction | None]:
        exact = a[1] + b[1] if a[1] is not None and b[1] is not None else None
        return (a[0] + b[0]) % self.PRIME, exact

    def mul(self, a: Any, b: Any) -> tuple[int, Fraction | None]:
        exact = _sized(a[1] * b[1]) if a[1] is not None and b[1] is not None else None
        return a[0] * b[0] % self.PRIME, exact

    def power(self, a: Any, b: Any) -> tuple[int, None]:
        if b[1] is None or b[1].denominator != 1:
            raise Unsupported("power")
        exponent = int(b[1])
        if exponent.bit_length() > 64:
            raise Unsupported("a huge power")
        return pow(a[0] if exponent >= 0 else self._inverse(a[0]), abs(exponent), self.PRIME), None

    def call(self, name: str, args: list[Any]) -> Any:
        raise Unsupported(name)

    def bound(self, name: str, value: int) -> Algebra:
        raise Unsupported("sum")

    def _inverse(self, value: int) -> int:
        if value % self.PRIME == 0:
            raise Undefined("division by zero")
        return pow(value, -1, self.PRIME)
