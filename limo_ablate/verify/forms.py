"""Prefix forms of the grammar: numerals, letters, brackets and LaTeX commands."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

from limo_ablate.verify.nodes import (
    ELLIPSIS,
    Call,
    Constant,
    Group,
    Mul,
    Node,
    NotParsed,
    Number,
    Relation,
    SetOf,
    Symbol,
    Unit,
    divide,
    rebuild,
)
from limo_ablate.verify.show import show
from limo_ablate.verify.vocabulary import ACCENTS, DOTS, SET_LEVEL, SIGN, SUM

if TYPE_CHECKING:
    from limo_ablate.verify.parser import Parser
from limo_ablate.verify.environments import environment
from limo_ablate.verify.letters import angle_name, name_or_function, root, subscripted
from limo_ablate.verify.numerals import read_number, repeating_decimal
from limo_ablate.verify.unit_words import unit_or_number

_BIG_OPERATORS = {
    "sum": "sum",
    "prod": "product",
    "int": "integral",
    "iint": "integral",
    "oint": "integral",
    "lim": "limit",
}


_FRACTIONS = frozenset(("frac", "dfrac", "tfrac", "cfrac", "binom", "dbinom", "tbinom", "sfrac", "nicefrac"))


def prefix(p: Parser) -> Node:
    token = p.next()
    text = token.text
    match token.kind:
        case "num":
            return read_number(p, text)
        case "repeating":
            return repeating_decimal(text)
        case "text":
            return unit_or_number(p, text)
        case "begin":
            return environment(p, text)
        case "name" | "cmd" | "op" if text in _FORMS and token.kind != "name":
            return _FORMS[text](p)
        case "cmd" if text in ("forall", "exists") and p.at == 1:
            return Call(text, (p.expression(),))
        case "name" | "cmd":
            return name_or_function(p, text, command=token.kind == "cmd")
    raise NotParsed(f"unexpected {text or 'end'!r}")


def _fraction(p: Parser, name: str) -> Node:
    top, bottom = p.argument(), p.argument()
    match top, bottom:
        case Mul(factors=(Symbol(name="d"), Symbol(name=y))), Mul(
            factors=(Symbol(name="d"), Symbol(name=x))
        ) if not (name.endswith("binom")):
            return Symbol(f"d{y}/d{x}")
    return Call("binomial", (top, bottom)) if name.endswith("binom") else divide(top, bottom)


def _big_operator(p: Parser, name: str) -> Node:
    """Sums, products, integrals and limits, with their bounds."""
    lower: Node | None = None
    upper: Node | None = None
    for _ in range(2):
        if p.take("_"):
            lower = p.argument()
        elif p.take("^"):
            upper = p.argument()
    if name == "integral":
        return _integral(p, lower, upper)

    body = p.expression(SET_LEVEL if name.startswith("big") else SUM)
    if isinstance(lower, Relation) and lower.operands[0] == Constant("i"):  # an index, not the imaginary unit
        lower, body = (
            rebuild(part, lambda n: Symbol("i") if n == Constant("i") else n) for part in (lower, body)
        )
    parts = () if lower is None else (lower,)
    return Call(name, (body, *parts, *(() if upper is None else (upper,))))


def _big_set(p: Parser, name: str) -> Node:
    """A union or intersection over an index; over all integers, it is the set with its letter."""
    node = _big_operator(p, name)
    if isinstance(node, Call) and len(node.args) == 1:
        raise NotParsed(f"{name} without an index")
    return node


def _integral(p: Parser, lower: Node | None, upper: Node | None) -> Node:
    p.differentials += 1
    body: Node = p.expression() if not p.differential() else Number(Fraction(1))
    p.differentials -= 1
    if p.peek() != "d":
        raise NotParsed("an integral without its differential")
    p.next()
    variable = prefix(p)
    bounds = () if lower is None or upper is None else (lower, upper)
    return Call("integral", (body, variable, *bounds))


def _accent(p: Parser, name: str) -> Node:

    inner = show(p.argument())
    if inner.replace("*", "").isupper():  # the letters are points
        inner = inner.replace("*", "")
    plain = {"widehat": "hat", "overrightarrow": "vec", "widetilde": "tilde", "overline": "bar"}.get(
        name, name
    )
    return subscripted(p, f"{plain} {inner}")


def _absolute(p: Parser) -> Node:
    p.bars += 1
    node = p.expression()
    p.bars -= 1
    p.expect("|", "rvert", "\\|", "||", "rVert")
    return Call("abs", (node,))


def _delimited(name: str, closing: str) -> Callable[[Parser], Node]:
    def read(p: Parser) -> Node:
        node = p.expression()
        p.expect(closing)
        return Call(name, (node,))

    return read


def _brace(p: Parser) -> Node:
    """A TeX group, or a set, which plain text writes with the same braces."""
    if p.take("}"):
        return SetOf(())
    start = p.at
    node = p.braces("}")
    if isinstance(node, SetOf) and len(node.items) == 1:
        return node.items[0]
    return node if p.at > start else SetOf(())


def _angle(p: Parser) -> Node:
    items = p.items("rangle", ">")
    p.next()
    return Group("<", items, ">")


def _set(p: Parser) -> Node:
    if p.token.kind == "begin":  # \left\{\begin{array}: cases whose closing brace is invisible
        return prefix(p)
    return p.braces("\\}")


def _currency(p: Parser) -> Node:
    """\\$5: an amount with its unit."""

    return Mul((p.expression(SIGN), Unit("dollar", True)))


_FORMS: dict[str, Callable[[Parser], Node]] = {
    "(": lambda p: p.bracket("("),
    "[": lambda p: p.bracket("["),
    "]": lambda p: p.bracket("]"),
    "lbrack": lambda p: p.bracket("["),
    "{": _brace,
    "\\{": _set,
    "lbrace": _set,
    "|": _absolute,
    "lvert": _absolute,
    "\\|": _absolute,
    "||": _absolute,
    "lVert": _absolute,
    "langle": _angle,
    "<": _angle,
    "angle": angle_name,
    "lfloor": _delimited("floor", "rfloor"),
    "lceil": _delimited("ceil", "rceil"),
    "sqrt": root,
    "emptyset": lambda p: SetOf(()),
    "varnothing": lambda p: SetOf(()),
    "\\$": _currency,
    "approx": lambda p: p.expression(),
    "bigcup": lambda p: _big_set(p, "bigcup"),
    "bigcap": lambda p: _big_set(p, "bigcap"),
    **{name: (lambda p: ELLIPSIS) for name in DOTS},
    **{name: (lambda p, name=name: _fraction(p, name)) for name in _FRACTIONS},  # type: ignore[misc]
    **{name: (lambda p, name=value: _big_operator(p, name)) for name, value in _BIG_OPERATORS.items()},  # type: ignore[misc]
    **{name: (lambda p, name=name: _accent(p, name)) for name in ACCENTS},  # type: ignore[misc]
}
