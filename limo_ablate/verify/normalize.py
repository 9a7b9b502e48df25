"""Reduces an answer to what is compared: its items, its letters and their values, without remarks."""

from __future__ import annotations

from typing import TypeGuard

from limo_ablate.verify.nodes import (
    Builder,
    Group,
    Listing,
    Logic,
    Node,
    Relation,
    SetOf,
    Symbol,
    is_condition,
    symbols,
)
from limo_ablate.verify.relations import assignment
from limo_ablate.verify.vocabulary import NUMBER_SETS


def normalize(node: Node) -> Node:
    """`node` without trailing approximations and remarks on the range of a letter; several points with named
    coordinates as points."""
    match node:
        case Builder(element=element, condition=condition):
            return _listed(element, normalize(condition)) or node
        case Listing():
            return _points(node) or node
    if isinstance(node, Logic) and node.operator == "and":
        bounded = {
            name
            for part in node.parts
            if not is_range_remark(part) and is_condition(part)
            for name in symbols(part)
        }
        kept = tuple(part for part in node.parts if not is_range_remark(part) or symbols(part) & bounded)
        if len(kept) == 1:
            return _without_approximation(kept[0])
        return Listing(kept) if kept and not any(map(is_condition, kept)) else node
    return _without_approximation(node)


def bound_letter(node: Builder) -> str | None:
    """The x of {x | x > 0} and the k of {2k + 1 | k in Z}."""
    match node:
        case Builder(element=Symbol(name=name)):
            return name
        case Builder(condition=Relation(operands=(Symbol(name=name), _), operators=("in",))):
            return name
    return None


def _listed(element: Node, condition: Node) -> Node | None:
    """The values of {k pi | k in Z} and {x | x = k pi}; None for other conditions."""
    if not isinstance(element, (Symbol, Relation)) and is_range_remark(condition):
        return element if symbols(condition.operands[0]) <= symbols(element) else None
    parts = condition.items if isinstance(condition, Listing) else (condition,)
    values = [part for part in parts if not is_range_remark(part)]
    found = assignment(values[0]) if len(values) == 1 else None
    known = frozenset().union(*map(symbols, values)) | symbols(element)
    remarks = [part for part in parts if is_range_remark(part)]
    if not found or element != Symbol(found[0]) or any(symbols(part.operands[0]) - known for part in remarks):
        return None
    return found[1]


def _points(node: Listing) -> Node | None:
    """p = 5, q = 2; p = 7, q = 2 as (5, 2), (7, 2); None unless the same names repeat."""
    found = [assignment(item) for item in node.items]
    names = [item[0] for item in found if item]
    size = len(set(names))
    if None in found or not 1 < size < len(names) or len(names) % size:
        return None
    order = sorted(names[:size]) if all(len(name) == 1 for name in names) else names[:size]
    points = []
    for start in range(0, len(names), size):
        values = {item[0]: item[1] for item in found[start : start + size] if item}
        if set(values) != set(order):
            return None
        points.append(Group("(", tuple(values[name] for name in order), ")"))
    return Listing(tuple(points))


def named_list(node: Node) -> tuple[str, Node] | None:
    """(name, values) of n = 1, 2, 3; None unless only the first has a name."""
    if not isinstance(node, Listing):
        return None
    first, *rest = node.items
    found = assignment(first)
    if not found or any(isinstance(item, (Relation, Logic)) for item in rest):
        return None
    return found[0], Listing((found[1], *rest))


def named_tuple(node: Node) -> Group | None:
    """The (n, 1) of (f(n), g(n)) = (n, 1)."""
    match node:
        case Relation(operands=(Group(items=names), Group(items=values) as value), operators=("=",)):
            return value if len(names) == len(values) else None
    return None


def _without_approximation(node: Node) -> Node:
    """The part before the approximation in 2 sqrt(3) = ... ~ 3.46."""
    if isinstance(node, Relation) and "approx" in node.operators:
        at = node.operators.index("approx")
        if at == 0:
            lone = isinstance(node.operands[0], Symbol)
            return Relation(node.operands[:2], ("=",)) if lone else node.operands[0]
        return Relation(node.operands[: at + 1], node.operators[:at])
    return node


def items_of(node: Node) -> tuple[Node, ...]:
    """The answers of a list, without remarks on the range of a letter."""
    if isinstance(node, (SetOf, Listing)):
        kept = tuple(item for item in node.items if not is_range_remark(item))
        letters = frozenset().union(*map(symbols, kept))
        return tuple(item for item in node.items if item in kept or not symbols(item) & letters)
    return (node,)


_NUMBER_SETS = frozenset((*NUMBER_SETS, *NUMBER_SETS.values()))


def is_range_remark(node: Node) -> TypeGuard[Relation]:
    """Whether `node` only says of what kind letters are: k in Z."""
    return (
        isinstance(node, Relation)
        and node.operators == ("in",)
        and isinstance(node.operands[0], (Symbol, Listing, Group))
        and any(
            isinstance(part, Symbol) and part.name.split("_")[0].split("^")[0] in _NUMBER_SETS
            for part in node.operands[1:]
        )
    )


def values_by_letter(node: Node) -> dict[str, Node] | None:
    """{x: 3, y: -1} from x = 3, y = -1, in this order; None unless there are several different names."""
    match node:
        case Relation(operands=(Group(items=letters), Group(items=values)), operators=("=",)):
            if len(letters) == len(values) and all(isinstance(letter, Symbol) for letter in letters):
                node = Listing(tuple(Relation(pair, ("=",)) for pair in zip(letters, values, strict=True)))
        case Relation(operands=(*letters, value)) if len(letters) > 1 and set(node.operators) == {"="}:
            if all(isinstance(letter, Symbol) for letter in letters) and not symbols(value):
                node = Listing(tuple(Relation((letter, value), ("=",)) for letter in letters))
    parts = node.items if isinstance(node, Listing) else node.parts if isinstance(node, Logic) else ()
    found = [assignment(part) for part in parts]
    names = {item[0] for item in found if item}
    if len(found) < 2 or None in found or len(names) != len(found):
        return None
    return {item[0]: item[1] for item in found if item}


def in_order(values: dict[str, Node], *, bracketed: bool) -> list[list[Node]]:
    """The orders in which named values may be listed without their names: as they are written, and as
    coordinates, alphabetically."""
    alphabetical = [values[name] for name in sorted(values)]
    if bracketed and all(len(name) == 1 for name in values):
        return [alphabetical]
    return [list(values.values()), alphabetical]


def set_of_membership(node: Node) -> Node:
    if isinstance(node, Relation) and node.operators == ("in",) and isinstance(node.operands[0], Symbol):
        return node.operands[1]
    return node


def all_groups(items: tuple[Node, ...]) -> bool:
    return all(isinstance(item, Group) for item in items)
