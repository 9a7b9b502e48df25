"""Evaluates a tree in different number systems: rationals, floats, residues, multiprecision, SymPy.

`evaluate(node, algebra)` does the walk; an algebra defines its numbers, constants, letters and functions.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Protocol

from limo_ablate.verify.deadline import check_time
from limo_ablate.verify.limits import MAX_DETERMINANT, MAX_TERMS, LimitReached
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
    symbols,
)
from limo_ablate.verify.numerals import value_of_numeral


class Unsupported(Exception):
    """This algebra can't compute the value; another one may."""


class Undefined(Exception):
    """The value does not exist, as for a division by zero or the logarithm of 0."""


class Algebra(Protocol):
    """A number system. Its values may have any type: `evaluate` only passes them back to it."""

    def number(self, value: Fraction) -> Any: ...
    def constant(self, name: str) -> Any: ...
    def symbol(self, name: str) -> Any: ...
    def add(self, a: Any, b: Any) -> Any: ...
    def mul(self, a: Any, b: Any) -> Any: ...
    def power(self, a: Any, b: Any) -> Any: ...
    def root(self, a: Any, exponent: Fraction) -> Any: ...
    def call(self, name: str, args: list[Any]) -> Any: ...
    def bind(self, name: str, value: int) -> Algebra: ...


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
            base, exponent = evaluate(node.base, algebra), node.exponent
            if type(exponent) is Number and exponent.value.denominator != 1:
                return algebra.root(base, exponent.value)
            return algebra.power(base, evaluate(exponent, algebra))
        case Call(name="sum" | "product"):
            return _sum_or_product(node, algebra)
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


def _sum_or_product(node: Call, algebra: Algebra) -> Any:
    """The value of a finite sum or product over integers, term by term."""
    variable, lower, upper = series_bounds(node)
    low, high = (_integer(evaluate(end, algebra)) for end in (lower, upper))
    if high - low > MAX_TERMS:
        raise LimitReached(f"a sum or product of more than {MAX_TERMS} terms")
    total = algebra.number(Fraction(int(node.name == "product")))
    combine = algebra.add if node.name == "sum" else algebra.mul
    for k in range(low, high + 1):
        check_time()
        total = combine(total, evaluate(node.args[0], algebra.bind(variable, k)))
    return total


def _determinant(rows: tuple[tuple[Node, ...], ...], algebra: Algebra) -> Any:
    """The determinant by Laplace expansion along the first row, up to MAX_DETERMINANT rows."""
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


def series_bounds(node: Call) -> tuple[str, Node, Node]:
    """(variable, lower, upper) of a sum or product; Unsupported where a bound is missing."""
    match node.args:
        case (body, Relation(operands=(Symbol(name=name), lower), operators=("=",)), upper):
            if any(name in letter.partition("_")[2] for letter in symbols(body)):
                raise Unsupported("a sum over the index of a letter")
            return name, lower, upper
    raise Unsupported("a sum without bounds")


def _integer(value: Any) -> int:
    """A value of any algebra as an integer; Unsupported if it is not one."""
    if isinstance(value, tuple):  # (residue, exact value) of `Residues`
        value = value[1]
    if isinstance(value, Fraction):
        value = value if abs(value) < 10**9 else None
    number = None if value is None else complex(value)
    if number is None or number.imag or number.real != round(number.real) or abs(number) > 1e9:
        raise Unsupported("a bound that is no integer")
    return round(number.real)


class BoundAlgebra:
    """An algebra in which one more letter, such as the index of a sum, has a value."""

    def __init__(self, inner: Algebra, name: str, value: Fraction) -> None:
        self.inner, self.name, self.value = inner, name, value
        self.number, self.constant = inner.number, inner.constant
        self.add, self.mul, self.power, self.call = inner.add, inner.mul, inner.power, inner.call
        self.root = inner.root

    def symbol(self, name: str) -> Any:
        return self.inner.number(self.value) if name == self.name else self.inner.symbol(name)

    def bind(self, name: str, value: int) -> Algebra:
        return BoundAlgebra(self, name, Fraction(value))
