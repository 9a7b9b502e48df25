"""Rebuilding a tree from its changed parts."""

from __future__ import annotations

from collections.abc import Callable

from limo_ablate.verify.nodes import (
    Add,
    Builder,
    Call,
    Cases,
    Degrees,
    Group,
    Listing,
    Logic,
    Matrix,
    Mul,
    Node,
    Percent,
    PlusMinus,
    Power,
    Ratio,
    Relation,
    SetOf,
    SetOperation,
)


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
