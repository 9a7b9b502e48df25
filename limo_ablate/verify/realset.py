"""Sets of real numbers: intervals, inequalities and set-builders as lists of intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from limo_ablate.verify.algebra import BoundAlgebra, Undefined, Unsupported, evaluate
from limo_ablate.verify.deadline import check_time
from limo_ablate.verify.limits import LimitReached
from limo_ablate.verify.nodes import (
    MINUS_ONE,
    Add,
    Builder,
    Call,
    Constant,
    Group,
    Listing,
    Logic,
    Mul,
    Node,
    NotParsed,
    Number,
    Relation,
    SetOf,
    SetOperation,
    Symbol,
    negate,
    symbols,
)
from limo_ablate.verify.rational import Rational
from limo_ablate.verify.scalar import magnitude
from limo_ablate.verify.verdict import Outcome, all_equal, different

INF = Constant("inf")
MINUS_INF = Mul((MINUS_ONE, INF))


@dataclass(frozen=True, slots=True)
class End:
    node: Node
    place: float
    closed: bool


@dataclass(frozen=True, slots=True)
class Piece:
    low: End
    high: End

    @property
    def empty(self) -> bool:
        return self.low.place > self.high.place or (
            self.low.place == self.high.place and not (self.low.closed and self.high.closed)
        )


RealSet = tuple[Piece, ...]
"""Disjoint pieces in ascending order."""


def real_set(node: Node) -> RealSet | None:
    """`node` as a set of reals; None if it is not one, or its ends are not real constants."""
    try:
        return _merge(_pieces(node))
    except Unsupported:
        return None


def is_set(node: Node) -> bool:
    """Whether `node` can only be a set: an inequality, a union, a half-open interval."""
    match node:
        case SetOperation() | Builder() | Logic() | Add(terms=(Builder() | SetOperation(), _)):
            return True
        case Relation():
            return all(op in ("<", ">", "<=", ">=", "!=", "in", "notin") for op in node.operators)
        case Group(items=(low, high)):
            return node.open == "[" or node.close == "]" or low == MINUS_INF or high == INF
        case Symbol(name="Reals"):
            return True
    return False


def restrict_different_letters(gold: Node, answer: Node) -> bool:
    """Whether x > 0 stands against y > 0; f(x) > 0 may be y > 0 and f(t) > 0."""
    letters = [
        symbols(node) - {"Reals"} if isinstance(node, (Relation, Logic)) else set() for node in (gold, answer)
    ]
    if any(len(names) != 1 for names in letters):
        return False
    (g, g_of, g_at), (a, a_of, a_at) = (next(iter(names)).partition("(") for names in letters)
    if g == a:
        return g_at != a_at and not (g_at + a_at).replace(")", "").isalpha()
    return g_of == a_of or "y" not in (g, a)


def equal_sets(gold: RealSet, answer: RealSet, equal: Callable[[Node, Node], Outcome]) -> Outcome:
    """Compares piece by piece, the ends by `equal`."""
    if len(gold) != len(answer):
        return different("interval", "not the same pieces")
    ends = [(p, q) for g, a in zip(gold, answer, strict=True) for p, q in ((g.low, a.low), (g.high, a.high))]
    if any(p.closed != q.closed for p, q in ends):
        return different("interval", "an end is open on one side, closed on the other")
    return all_equal((equal(p.node, q.node) for p, q in ends), "interval")


def _end(node: Node, closed: bool) -> End:
    return End(node, magnitude(node), closed)


def _interval(low: Node, high: Node, closed_low: bool, closed_high: bool) -> Piece:
    piece = Piece(_end(low, closed_low), _end(high, closed_high))
    if piece.low.place > piece.high.place:
        raise Unsupported("an interval from high to low")
    return piece


def _pieces(node: Node) -> list[Piece]:
    match node:
        case Group(items=(low, high)) if node.open in "([" and node.close in ")]":
            piece = _interval(low, high, node.open == "[", node.close == "]")
            if piece.empty:
                raise Unsupported("a point, or an interval without numbers")
            return [piece]
        case Listing() if all(isinstance(item, Group) for item in node.items):
            return [piece for item in node.items for piece in _pieces(item)]
        case SetOf() | Listing():
            return [_interval(item, item, True, True) for item in node.items]
        case Symbol(name="Reals"):
            return [_interval(MINUS_INF, INF, False, False)]
        case Builder(element=Symbol(name=name)):
            return _conditions(node.condition, name)
        case Builder(element=Relation(operands=(Symbol(name=name), Symbol(name="Reals")), operators=("in",))):
            return _conditions(node.condition, name)
        case Add(terms=(whole, Mul(factors=(minus, SetOf() as removed)))) if minus == MINUS_ONE:
            return _operate("setminus", [_pieces(whole), _pieces(removed)])
        case SetOperation():
            return _operate(node.operator, [_pieces(part) for part in node.parts])
        case Relation() | Logic():
            names = symbols(node) - {"Reals"}
            if len(names) == 1:
                return _conditions(node, next(iter(names)))
    raise Unsupported("not a set of reals")


def _conditions(node: Node, name: str) -> list[Piece]:
    """The values of the letter `name` for which `node` holds."""
    match node:
        case Logic() | Listing():
            parts = node.items if isinstance(node, Listing) else node.parts
            operator = "cup" if isinstance(node, Logic) and node.operator == "or" else "cap"
            return _operate(operator, [_conditions(part, name) for part in parts])
        case Relation(operands=(Symbol(name=letter), values), operators=("in",)) if letter == name:
            return _pieces(values)
        case Relation(operands=(Symbol(name=letter), values), operators=("notin",)) if letter == name:
            return _operate("setminus", [_everything(), _pieces(values)])
        case Relation():
            steps = zip(node.operators, pairwise(node.operands), strict=True)
            return _operate("cap", [_step(left, op, right, name) for op, (left, right) in steps])
    raise Unsupported("not a condition")


_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}


def _step(left: Node, operator: str, right: Node, name: str) -> list[Piece]:
    check_time()
    if operator not in _MIRRORED:
        raise Unsupported(operator)
    if name in symbols(right):
        left, operator, right = right, _MIRRORED[operator], left
    if name in symbols(right):
        raise Unsupported("an inequality that is not solved")
    if isinstance(left, Call) and left.name == "abs":
        inside = left.args[0]
        while isinstance(inside, Call) and inside.name == "abs":
            inside = inside.args[0]
        both = [_step(inside, operator, right, name), _step(inside, _MIRRORED[operator], negate(right), name)]
        return _operate("cap" if operator in ("<", "<=", "!=") else "cup", both)
    if left != Symbol(name):
        slope, shift = linear(left, name)
        operator = operator if slope > 0 else _MIRRORED[operator]
        right = Mul((Add((right, Number(-shift))), Number(1 / slope)))
    match operator:
        case "<" | "<=":
            return [_interval(MINUS_INF, right, False, operator == "<=")]
        case ">" | ">=":
            return [_interval(right, INF, operator == ">=", False)]
        case "=":
            return [_interval(right, right, True, True)]
    return _operate("setminus", [_everything(), [_interval(right, right, True, True)]])


def linear(node: Node, name: str) -> tuple[Fraction, Fraction]:
    """(a, b) of a x + b with rational a and b; Unsupported otherwise."""
    if symbols(node) != {name}:
        raise Unsupported("several letters")
    try:
        at = [evaluate(node, BoundAlgebra(Rational(), name, Fraction(x))) for x in (0, 1, 2, 5)]
    except (Undefined, LimitReached, NotParsed) as error:
        raise Unsupported("not linear") from error
    slope = at[1] - at[0]
    if not slope or at[2] - at[1] != slope or at[3] - at[2] != 3 * slope:
        raise Unsupported("not linear")
    return slope, at[0]


def _everything() -> list[Piece]:
    return [_interval(MINUS_INF, INF, False, False)]


def _operate(operator: str, sets: list[list[Piece]]) -> list[Piece]:
    result = sets[0]
    for other in sets[1:]:
        match operator:
            case "cup":
                result = [*result, *other]
            case "cap":
                result = [both for p in result for q in other if not (both := _intersect(p, q)).empty]
            case _:
                for piece in other:
                    result = [rest for p in result for rest in _subtract(p, piece)]
    return result


def _intersect(p: Piece, q: Piece) -> Piece:
    low = max(p.low, q.low, key=lambda end: (end.place, not end.closed))
    high = min(p.high, q.high, key=lambda end: (end.place, end.closed))
    return Piece(low, high)


def _subtract(p: Piece, q: Piece) -> list[Piece]:
    left = Piece(
        p.low, min(p.high, End(q.low.node, q.low.place, not q.low.closed), key=lambda e: (e.place, e.closed))
    )
    right_low = End(q.high.node, q.high.place, not q.high.closed)
    right = Piece(max(p.low, right_low, key=lambda e: (e.place, not e.closed)), p.high)
    return [piece for piece in (left, right) if not piece.empty]


def _merge(pieces: list[Piece]) -> RealSet:
    """Pieces in ascending order, joined where they touch or overlap."""
    merged: list[Piece] = []
    for piece in sorted(pieces, key=lambda p: (p.low.place, not p.low.closed)):
        if merged and _touch(merged[-1], piece):
            high = max(merged[-1].high, piece.high, key=lambda end: (end.place, end.closed))
            merged[-1] = Piece(merged[-1].low, high)
        elif not piece.empty:
            merged.append(piece)
    return tuple(merged)


def _touch(p: Piece, q: Piece) -> bool:
    return p.high.place > q.low.place or (
        p.high.place == q.low.place and (p.high.closed or q.low.closed) and abs(p.high.place) != float("inf")
    )
