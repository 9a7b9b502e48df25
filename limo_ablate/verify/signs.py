"""Plus-minus: one term that stands for two."""

from __future__ import annotations

from itertools import product

from limo_ablate.verify.nodes import ZERO, Add, Group, Listing, Node, PlusMinus, SetOf, children, negate
from limo_ablate.verify.normalize import items_of
from limo_ablate.verify.rewrite import rebuild

MAX_SIGNS = 4
"""Plus-minus signs that are read independently: sixteen combinations."""


def has_signs(node: Node) -> bool:
    return isinstance(node, PlusMinus) or any(map(has_signs, children(node)))


def readings_of_signs(node: Node) -> list[Node]:
    """`node` without plus-minus: its values as a list, signs taken together, and each by itself in a
    tuple."""
    if not has_signs(node):
        return [node]
    if isinstance(node, (Listing, SetOf)):
        return [
            type(node)(tuple(value for item in node.items for value in items_of(readings_of_signs(item)[0])))
        ]
    together = Listing(tuple(_choose(node, sign) for sign in (1, -1)))
    signed = [item for item in children(node) if has_signs(item)]
    if isinstance(node, Group) and 1 < len(signed) <= MAX_SIGNS:
        options = [
            items_of(readings_of_signs(item)[0]) if has_signs(item) else (item,) for item in node.items
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
