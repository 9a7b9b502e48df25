"""Parses letters, constants and functions, with their subscripts and arguments."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from limo_ablate.verify.nodes import (
    MINUS_ONE,
    TWO,
    Call,
    Constant,
    Group,
    Mul,
    Node,
    NotParsed,
    Number,
    Power,
    Symbol,
    as_number,
    divide,
)
from limo_ablate.verify.show import show
from limo_ablate.verify.vocabulary import (
    FUNCTION_LETTERS,
    FUNCTIONS,
    GREEK,
    INVERSE,
    NUMBER_SETS,
    POWER,
    SPELLINGS,
)

if TYPE_CHECKING:
    from limo_ablate.verify.parser import Parser

_CONSTANTS = {"pi": "pi", "infty": "inf", "infinity": "inf", "inf": "inf", "oo": "inf", "e": "e", "i": "i",
              "varinfty": "inf"}  # fmt: skip


PROBABILITIES = frozenset(("P", "Pr", "E", "D"))
_EVENT_SIGNS = frozenset(("=", "|", "mid", "<", ">", "le", "ge", "leq", "geq", "in", "cap", "cup"))

_SETS = frozenset(NUMBER_SETS.values())


def name_or_function(p: Parser, text: str, *, command: bool) -> Node:
    if text in FUNCTIONS and (command or len(text) > 1):
        return _function_call(p, FUNCTIONS[text])
    if text in _CONSTANTS:
        constant = Constant(_CONSTANTS[text])
        return subscripted(p, text) if p.peek() == "_" and text in "ei" else constant
    if text in _SETS:
        return Symbol(text)
    if command:
        name = SPELLINGS.get(text, text)
        if text not in GREEK and text not in SPELLINGS and len(text) > 1:
            raise NotParsed(f"unknown command \\{text}")
    else:
        name = text
    return subscripted(p, name)


def subscripted(p: Parser, name: str) -> Node:
    """A letter with its subscript. f(2) and I(0) are function values; so is f(x) for FUNCTION_LETTERS."""

    if p.take("_"):
        subscript = _subscript_text(p) if p.take("{") else p.next().text
        if name in ("C", "A", "P") and p.peek() == "^" and (count := _selections(p, name, subscript)):
            return count
        name += "_" + subscript
    while p.peek() == "'" and p.token.kind == "op":
        p.next()
        name += "'"
    if name == "C" and p.peek() == "(" and p.ahead(2).text == ",":
        p.next()
        pair = p.bracket("(")
        return Call("binomial", pair.items) if isinstance(pair, Group) else pair
    if name in PROBABILITIES and p.peek() == "(" and (event := _event(p)):
        return Symbol(f"{name}({event})")
    letter = name.rstrip("'")
    if p.peek() == "(" and (
        (p.ahead().kind == "num" and p.ahead(2).text == ")") or letter in FUNCTION_LETTERS
    ):
        p.next()
        argument = p.bracket("(")
        return Symbol(f"{name}({show(argument)})")
    return Symbol(name)


def _selections(p: Parser, name: str, subscript: str) -> Node | None:
    """C_n^k and A_5^3, combinations and permutations; None where they are powers of a letter."""
    braced = p.ahead().text == "{"
    token = p.ahead(2 if braced else 1)
    if braced and p.ahead(3).text != "}":
        return None
    chosen = token.text
    if subscript.isdigit() and chosen.isdigit():
        n, k = int(subscript[:6]), int(chosen[:6])
        if not max(k, 2) <= n:
            return None
    elif name != "C" or not (subscript in ("n", "m", "2n", "N") and (chosen.isdigit() or chosen in "kmri")):
        return None
    p.at += 4 if braced else 2
    total: Node = Number(Fraction(subscript)) if subscript.isdigit() else Symbol(subscript.lstrip("2"))
    if subscript == "2n":
        total = Mul((TWO, total))
    part: Node = Number(Fraction(chosen)) if chosen.isdigit() else Symbol(chosen)
    ways = Call("binomial", (total, part))
    return ways if name == "C" else Mul((ways, Call("factorial", (part,))))


def _event(p: Parser) -> str | None:
    """The event of P(A), P(X = 2) or P(A | B), which has been taken; None for a factor in brackets."""
    texts: list[str] = []
    while (token := p.ahead(1 + len(texts))).text != ")" and token.kind != "eof" and token.text != "(":
        texts.append(token.text)
    events = texts and all(len(text) == 1 and text.isupper() for text in texts)
    spoken = any(p.ahead(1 + at).kind == "text" for at in range(len(texts)))
    if token.text != ")" or not (events or spoken or _EVENT_SIGNS.intersection(texts)):
        return None
    p.at += 2 + len(texts)
    return "".join("|" if text == "mid" else text for text in texts)


def _subscript_text(p: Parser) -> str:
    """The tokens up to the closing brace as text: a subscript is part of a name, not an expression."""
    text, depth = "", 1
    while True:
        token = p.next()
        if token.kind == "eof":
            raise NotParsed("a subscript without an end")
        depth += (token.text == "{") - (token.text == "}")
        if not depth:
            return text
        text += token.text if token.text not in "{}" else ""


def superscript_marks(p: Parser) -> str:
    """The marks of a letter in a braced superscript, as in x^{\\prime}, up to the closing brace."""
    marks = ""
    while not p.take("}"):
        mark = p.next()
        if mark.kind == "eof" or len(marks) > 8:
            raise NotParsed("superscript without an end")
        marks += "'" if mark.text in ("'", "prime") else mark.text
    return marks


def _function_call(p: Parser, name: str) -> Node:
    """\\sin^2 x, \\log_2 x, \\sin^{-1} x, f{x}, f(x, y)."""
    if name == "sqrt":
        return root(p)
    base: Node | None = None
    exponent: Node | None = None
    for _ in range(2):
        if p.take("_"):
            base = p.argument()
        elif p.peek() == "^" and p.ahead().text != "circ":
            p.next()
            exponent = p.argument()
    if exponent == MINUS_ONE and name in INVERSE:
        name, exponent = INVERSE[name], None
    args = _function_arguments(p)
    node = _named_call(p, name, base, args)
    return Power(node, exponent) if exponent is not None else node


def _named_call(p: Parser, name: str, base: Node | None, args: tuple[Node, ...]) -> Node:
    if name == "exp":
        return Power(Constant("e"), args[0])
    if name == "cis":
        return Power(Constant("e"), Mul((Constant("i"), args[0])))
    if name == "cbrt":
        return Power(args[0], Number(Fraction(1, 3)))
    if name == "lg" or (name == "log" and base is None and p.log10 and len(args) == 1):
        base = Number(Fraction(10))
    if name in ("log", "ln", "lg"):
        if base is None and len(args) == 2:
            return Call("log", args)
        return Call("ln", args) if base is None else Call("log", (args[0], base))
    if base is not None:
        raise NotParsed(f"{name} with a subscript")
    return Call(name, args)


def _function_arguments(p: Parser) -> tuple[Node, ...]:
    """Arguments in brackets or braces, or the factors that follow, up to the next function."""

    for opening, closing in (("(", ")"), ("[", "]"), ("{", "}")):
        if p.take(opening):
            bars, p.bars = p.bars, 0
            args = p.items(closing)
            p.expect(closing)
            p.bars = bars
            return args
    sign = p.take("-")
    factors = [p.expression(POWER - 1)]
    while (
        p.starts_atom()
        and p.peek() not in FUNCTIONS
        and p.peek() not in ("(", "[")
        and p.token.kind != "text"
    ):
        factors.append(p.expression(POWER - 1))
    if sign:
        factors.insert(0, MINUS_ONE)
    return (factors[0] if len(factors) == 1 else Mul(tuple(factors)),)


def root(p: Parser) -> Node:
    index: Node = TWO
    if p.take("["):
        index = p.expression()
        p.expect("]")
    if p.peek() == "(":
        p.next()
        radicand = p.bracket("(")
        if isinstance(radicand, Group):
            raise NotParsed("a root of several values")
    else:
        radicand = p.argument()
    return Power(radicand, as_number(divide(Number(Fraction(1)), index)))


def angle_name(p: Parser) -> Node:
    """\\angle ABC: the letters form one name."""
    if p.take("{"):
        node = p.expression()
        p.expect("}")
        return node
    name = "angle "
    while p.token.kind == "name" and len(p.peek()) == 1 and p.peek().isupper():
        letter = p.next().text
        node = subscripted(p, letter) if p.peek() == "_" else Symbol(letter)
        name += node.name if isinstance(node, Symbol) else letter
    return Symbol(name) if name != "angle " else p.prefix()
