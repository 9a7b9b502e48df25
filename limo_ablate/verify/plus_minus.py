"""Expands plus-minus signs."""

from __future__ import annotations

from itertools import product

from limo_ablate.verify.nodes import (
    ZERO,
    Add,
    Group,
    Listing,
    Node,
    PlusMinus,
    SetOf,
    children,
    negate,
    rebuild,
)
from limo_ablate.verify.normalize import items_of

MAX_PLUS_MINUS = 4
"""Largest number of signs that are read independently: sixteen combinations."""


def has_plus_minus(node: Node) -> bool:
    return isinstance(node, PlusMinus) or any(map(has_plus_minus, children(node)))


def expand_plus_minus(node: Node) -> list[Node]:
    """`node` as lists of values without plus-minus: with linked signs and, in a tuple, independent ones."""
    if not has_plus_minus(node):
        return [node]
    if isinstance(node, (Listing, SetOf)):
        return [
            type(node)(tuple(value for item in node.items for value in items_of(expand_plus_minus(item)[0])))
        ]
    together = Listing(tuple(_choose(node, sign) for sign in (1, -1)))
    signed = [item for item in children(node) if has_plus_minus(item)]
    if isinstance(node, Group) and 1 < len(signed) <= MAX_PLUS_MINUS:
        options = [
            items_of(expand_plus_minus(item)[0]) if has_plus_minus(item) else (item,) for item in node.items
        ]
        return [
            together,
            Listing(tuple(Group(node.open, chosen, node.close) for chosen in product(*options))),
        ]
    return [together]


def _choose(node: Node, sign: int) -> Node:
    def pick(part: Node) -> Node:
        if not isinstance(part, PlusMinus):
            return part
        right = part.right if sign * part.first > 0 else negate(part.right)
        return right if part.left == ZERO else Add((part.left, right))

    return rebuild(node, pick)
