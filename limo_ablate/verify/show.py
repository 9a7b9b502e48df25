"""Formats a parsed answer as text, for verdicts and for names of opaque terms."""

from __future__ import annotations

from fractions import Fraction

from limo_ablate.verify.nodes import (
    Add,
    Builder,
    Call,
    Cases,
    Clock,
    Constant,
    Date,
    Degrees,
    Group,
    Listing,
    Logic,
    Matrix,
    Mul,
    Node,
    Number,
    Numeral,
    Percent,
    PlusMinus,
    Power,
    Ratio,
    Relation,
    SetOf,
    SetOperation,
    Symbol,
    Unit,
    Words,
)

MAX_SHOWN = 40
"""Number of digits up to which a numeral is printed in full."""


def show(node: Node) -> str:
    match node:
        case Number():
            return _number(node)
        case Symbol() | Constant() | Unit():
            return node.name
        case Numeral():
            return f"{node.digits}_{node.base}"
        case Add():
            return "(" + " + ".join(map(show, node.terms)) + ")"
        case Mul():
            return "*".join(map(show, node.factors))
        case Power():
            return f"{_atom(node.base)}^{_atom(node.exponent)}"
        case PlusMinus():
            return f"({show(node.left)} {'±' if node.first > 0 else '∓'} {show(node.right)})"
        case Percent():
            return f"{show(node.value)}%"
        case Degrees():
            return f"{show(node.value)}°"
        case Call():
            return f"{node.name}({_comma(node.args)})"
        case Words():
            return node.text
        case Ratio():
            return ":".join(map(show, node.parts))
    return _collection(node)


def _collection(node: Node) -> str:
    match node:
        case Relation():
            rest = zip(node.operators, node.operands[1:], strict=True)
            return show(node.operands[0]) + "".join(f" {op} {show(side)}" for op, side in rest)
        case Group():
            return f"{node.open}{_comma(node.items)}{node.close}"
        case SetOf():
            return "{" + _comma(node.items) + "}"
        case Builder():
            return f"{{{show(node.element)} | {show(node.condition)}}}"
        case SetOperation() | Logic():
            return f" {node.operator} ".join(map(show, node.parts))
        case Matrix():
            return "[" + "; ".join(_comma(row) for row in node.rows) + "]"
        case Cases():
            return "cases(" + "; ".join(f"{show(v)} if {show(c)}" for v, c in node.pieces) + ")"
        case Listing():
            return _comma(node.items)
        case Clock():
            hours, minutes = divmod(node.minutes, 60)
            return f"{hours}:{float(minutes):05.2f}".removesuffix(".00") + (
                f" {node.half}" if node.half else ""
            )
        case Date():
            return "-".join(str(part) for part in (node.year, node.month, node.day) if part is not None)
    raise TypeError(type(node).__name__)


def _comma(items: tuple[Node, ...]) -> str:
    return ", ".join(map(show, items))


def _atom(node: Node) -> str:
    text = show(node)
    return text if text.isalnum() or text.startswith("(") else f"({text})"


def _number(node: Number) -> str:
    value: Fraction = node.value
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > 3 * MAX_SHOWN:
        return f"about {_approximate(value)}"
    return str(value)


def _approximate(value: Fraction) -> str:
    bits = value.numerator.bit_length() - value.denominator.bit_length()
    return f"{'-' if value < 0 else ''}2^{bits}"
