"""The typed tree that an answer is parsed to. Its nodes are plain data: nothing in it can run code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from operator import attrgetter
from typing import Any


@dataclass(frozen=True, slots=True)
class Number:
    """A rational number and the number of decimals it was written with."""

    value: Fraction
    decimals: int | None = None
    """Digits after the decimal point, negative for some scientific notation; None: exact."""


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
    """a < b <= c; operators are between the operands."""

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
    """Conditions that all hold ("and"), or of which one holds ("or")."""

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
    items: tuple[str, ...] = ()
    """The items of a list in words, sorted."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day."""

    minutes: Fraction
    """Minutes since midnight, or since noon, as the clock shows them."""
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
    """The text is not in the grammar; the message says where it fails."""


ZERO, ONE, TWO, MINUS_ONE = (Number(Fraction(n)) for n in (0, 1, 2, -1))
ELLIPSIS = Symbol("...")
"""What a list or a sum leaves out: two of them are equal if they have the same form."""


def negate(node: Node) -> Node:
    if isinstance(node, Number):
        return Number(-node.value, node.decimals)
    return Mul((MINUS_ONE, node))


def add(left: Node, right: Node) -> Node:
    return Add((*left.terms, right)) if isinstance(left, Add) else Add((left, right))


def multiply(left: Node, right: Node) -> Node:
    return Mul((*left.factors, right)) if isinstance(left, Mul) else Mul((left, right))


def divide(top: Node, bottom: Node) -> Node:
    return Mul((top, Power(bottom, MINUS_ONE)))


def as_number(node: Node) -> Node:
    """A quotient of two numerals as one number; other nodes as they are."""
    match node:
        case Mul(factors=(Number(value=top), Power(base=Number(value=bottom), exponent=exponent))):
            return Number(top / bottom) if exponent == MINUS_ONE and bottom else node
        case Mul(factors=(Number(value=sign), inner)) if sign == -1:
            value = as_number(inner)
            return negate(value) if isinstance(value, Number) else node
    return node


_PARTS: dict[type, Callable[[Any], tuple[Node, ...]]] = {
    Add: attrgetter("terms"),
    Mul: attrgetter("factors"),
    Power: attrgetter("base", "exponent"),
    PlusMinus: attrgetter("left", "right"),
    Builder: attrgetter("element", "condition"),
    Call: attrgetter("args"),
    Relation: attrgetter("operands"),
    Percent: lambda node: (node.value,),
    Degrees: lambda node: (node.value,),
    Matrix: lambda node: tuple(entry for row in node.rows for entry in row),
    Cases: lambda node: tuple(part for piece in node.pieces for part in piece),
    **dict.fromkeys((Group, SetOf, Listing), attrgetter("items")),
    **dict.fromkeys((SetOperation, Logic, Ratio), attrgetter("parts")),
}


def children(node: Node) -> tuple[Node, ...]:
    """The parts of `node`, in order."""
    parts = _PARTS.get(type(node))
    return parts(node) if parts else ()


def is_condition(node: Node) -> bool:
    """Whether `node` is an inequality or membership: several of these hold together, unlike a list of
    answers."""
    return isinstance(node, Logic) or (
        isinstance(node, Relation) and any(op in ("<", ">", "<=", ">=", "!=", "in") for op in node.operators)
    )


def walk(*nodes: Node) -> Iterator[Node]:
    """Every node of the trees, each before its parts."""
    waiting = [*reversed(nodes)]
    while waiting:
        yield (node := waiting.pop())
        waiting += reversed(children(node))


def calls(*nodes: Node) -> Iterator[Call]:
    return (node for node in walk(*nodes) if isinstance(node, Call))


_NO_NAMES: frozenset[str] = frozenset()


def symbols(node: Node) -> frozenset[str]:
    """The letters of `node`."""
    if type(node) is Symbol:
        return frozenset((node.name,))
    parts = _PARTS.get(type(node))
    return _NO_NAMES.union(*map(symbols, parts(node))) if parts else _NO_NAMES


def rebuild(node: Node, change: Callable[[Node], Node]) -> Node:
    """`node` with `change` applied to every part, leaves first."""

    def all_of(parts: tuple[Node, ...]) -> tuple[Node, ...]:
        return tuple(rebuild(part, change) for part in parts)

    new: Node = node
    match node:
        case Add():
            new = Add(all_of(node.terms))
        case Mul():
            new = Mul(all_of(node.factors))
        case Power():
            new = Power(rebuild(node.base, change), rebuild(node.exponent, change))
        case Call():
            new = Call(node.name, all_of(node.args))
        case PlusMinus():
            new = PlusMinus(node.first, rebuild(node.left, change), rebuild(node.right, change))
        case Percent() | Degrees():
            new = type(node)(rebuild(node.value, change))
        case Relation():
            new = Relation(all_of(node.operands), node.operators)
        case Group():
            new = Group(node.open, all_of(node.items), node.close)
        case SetOf() | Listing():
            new = type(node)(all_of(node.items))
        case Builder():
            new = Builder(rebuild(node.element, change), rebuild(node.condition, change))
        case SetOperation() | Logic():
            new = type(node)(node.operator, all_of(node.parts))
        case Ratio():
            new = Ratio(all_of(node.parts))
        case Matrix():
            new = Matrix(tuple(all_of(row) for row in node.rows))
        case Cases():
            new = Cases(tuple((rebuild(v, change), rebuild(c, change)) for v, c in node.pieces))
    return change(new)
