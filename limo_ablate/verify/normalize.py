"""Reduces an answer to what is compared: its items, its letters and their values, without remarks."""

from __future__ import annotations

from limo_ablate.verify.nodes import (
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


def normalize(node: Node) -> Node:
    """`node` without trailing approximations and remarks on the range of a letter."""
    if isinstance(node, Logic) and node.operator == "and":
        bounded = {
            name
            for part in node.parts
            if not _is_range_remark(part) and is_condition(part)
            for name in symbols(part)
        }
        kept = tuple(part for part in node.parts if not _is_range_remark(part) or symbols(part) & bounded)
        if len(kept) == 1:
            return _without_approximation(kept[0])
        return Listing(kept) if kept and not any(map(is_condition, kept)) else node
    return _without_approximation(node)


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
        kept = tuple(item for item in node.items if not _is_range_remark(item))
        return kept or node.items
    return (node,)


_NUMBER_SETS = frozenset(("Reals", "Integers", "Naturals", "Rationals", "Complexes"))


def _is_range_remark(node: Node) -> bool:
    return (
        isinstance(node, Relation)
        and node.operators == ("in",)
        and any(
            isinstance(part, Symbol) and part.name.split("_")[0].split("^")[0] in _NUMBER_SETS
            for part in node.operands[1:]
        )
    )


def values_by_letter(node: Node) -> dict[str, Node] | None:
    """{x: 3, y: -1} from x = 3, y = -1; None unless there are several different letters."""
    match node:
        case Relation(operands=(Group(items=letters), Group(items=values)), operators=("=",)):
            if len(letters) == len(values) and all(isinstance(letter, Symbol) for letter in letters):
                node = Listing(tuple(Relation(pair, ("=",)) for pair in zip(letters, values, strict=True)))
    parts = node.items if isinstance(node, Listing) else node.parts if isinstance(node, Logic) else ()
    found = [assignment(part) for part in parts]
    names = {item[0] for item in found if item}
    if len(found) < 2 or None in found or len(names) != len(found):
        return None
    return {item[0]: item[1] for item in found if item}


def set_of_membership(node: Node) -> Node:
    if isinstance(node, Relation) and node.operators == ("in",) and isinstance(node.operands[0], Symbol):
        return node.operands[1]
    return node


def all_groups(items: tuple[Node, ...]) -> bool:
    return all(isinstance(item, Group) for item in items)
