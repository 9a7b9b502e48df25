"""The typed tree that an answer becomes: mathematics by construction, nothing in it can run."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Number:
    """A rational number, and how many decimals were written."""

    value: Fraction
    shown: int | None = None
    """Digits after the point of a decimal, may be negative in scientific notation; None: exact."""


@dataclass(frozen=True, slots=True)
class Numeral:
    """Digits in a stated base, such as 2021_5."""

    digits: str
    base: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """A letter, with its subscript and marks: x, v_o, y'."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    name: str
    """pi, e, i, inf"""


@dataclass(frozen=True, slots=True)
class Add:
    """A sum."""

    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mul:
    """A product."""

    factors: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Power:
    """A power; roots and quotients are powers too."""

    base: Node
    exponent: Node


@dataclass(frozen=True, slots=True)
class Call:
    """A known function or operator: sin, log(x, base), binomial, sum(term, variable, lower, upper), ..."""

    name: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class PlusMinus:
    """`left` plus or minus `right`; `first` is +1, or -1 for \\mp."""

    first: int
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Percent:
    """A value with a percent sign."""

    value: Node


@dataclass(frozen=True, slots=True)
class Degrees:
    """A value with a degree sign."""

    value: Node


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measure, or a noun that is counted (`known` false)."""

    name: str
    known: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """a < b <= c: operators stand between the operands."""

    operands: tuple[Node, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Several items in round, square or angle brackets: a point, a vector or an interval."""

    open: str
    items: tuple[Node, ...]
    close: str


@dataclass(frozen=True, slots=True)
class SetOf:
    """A set by its elements."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Builder:
    """{ x | condition }"""

    element: Node
    condition: Node


@dataclass(frozen=True, slots=True)
class SetOperation:
    """Union, intersection or difference of sets."""

    operator: str
    """cup, cap or setminus"""
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Logic:
    """Conditions that hold together, or one of which holds."""

    operator: str
    """and, or"""
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix, row by row."""

    rows: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True, slots=True)
class Cases:
    """(value, condition) of a piecewise definition."""

    pieces: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """Several answers: order does not matter."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Ratio:
    """3:4 or 1:2:3."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """An answer in words."""

    text: str
    """Lower case, single spaces, no punctuation."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day."""

    minutes: Fraction
    """Since midnight on the clock face as written."""
    half: str | None
    """am, pm or None"""


@dataclass(frozen=True, slots=True)
class Date:
    """A day of a year, or of any year."""

    year: int | None
    month: int
    day: int


Node = (
    Number | Numeral | Symbol | Constant | Add | Mul | Power | Call | PlusMinus | Percent | Degrees | Unit
    | Relation | Group | SetOf | Builder | SetOperation | Logic | Matrix | Cases | Listing | Ratio | Words
    | Clock | Date
)  # fmt: skip


class NotParsed(Exception):
    """The text is no answer the grammar knows; the message says where."""


ZERO, ONE, TWO, MINUS_ONE = (Number(Fraction(n)) for n in (0, 1, 2, -1))
HALF = Number(Fraction(1, 2))


def negate(node: Node) -> Node:
    if isinstance(node, Number):
        return Number(-node.value, node.shown)
    return Mul((MINUS_ONE, node))


def divide(top: Node, bottom: Node) -> Node:
    return Mul((top, Power(bottom, MINUS_ONE)))


def children(node: Node) -> tuple[Node, ...]:
    """The parts of `node`, in order."""
    match node:
        case (
            Add(terms=parts)
            | Mul(factors=parts)
            | Group(items=parts)
            | SetOf(items=parts)
            | Listing(items=parts)
        ):
            return parts
        case Call(args=parts) | Relation(operands=parts) | SetOperation(parts=parts) | Logic(parts=parts):
            return parts
        case Ratio(parts=parts):
            return parts
        case Power():
            return node.base, node.exponent
        case PlusMinus():
            return node.left, node.right
        case Percent() | Degrees():
            return (node.value,)
        case Builder():
            return node.element, node.condition
        case Matrix():
            return tuple(entry for row in node.rows for entry in row)
        case Cases():
            return tuple(part for piece in node.pieces for part in piece)
    return ()


def symbols(node: Node) -> frozenset[str]:
    if isinstance(node, Symbol):
        return frozenset((node.name,))
    return frozenset().union(*map(symbols, children(node)))
