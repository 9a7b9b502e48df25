"""Postfix forms of the grammar: factorials, percents, degrees, moduli and primes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limo_ablate.verify.lexer import Token
from limo_ablate.verify.nodes import Call, Degrees, Node, Percent, Symbol
from limo_ablate.verify.vocabulary import PRODUCT

if TYPE_CHECKING:
    from limo_ablate.verify.parser import Parser


def postfix(p: Parser, left: Node, token: Token) -> Node | None:
    """`left` with the form that `token` begins; None if it begins none."""
    text = token.text
    if text == "!":
        p.at += 1
        return Call("factorial", (left,))
    if text in ("%", "\\%"):
        p.at += 1
        return Percent(left)
    if text in ("°", "degree") or (text == "^" and _degree_sign(p)):
        p.at += 1
        return Degrees(left)
    if (modulus := _modulus(p)) is not None:
        return Call("residue", (left, modulus))
    if text in ("'", "prime") and isinstance(left, Symbol):
        p.at += 1
        return Symbol(left.name + "'")
    return None


def _modulus(p: Parser) -> Node | None:
    """The n of \\pmod{n}, \\bmod n, mod n and (mod n)."""
    if p.peek() == "mod" and p.ahead().text in ("(", "{"):
        return None  # a function of two numbers
    if p.take("pmod", "bmod", "mod"):
        braced = p.take("{")
        modulus = p.expression(PRODUCT)
        if braced:
            p.expect("}")
        return modulus
    if p.peek() == "(" and p.ahead().text == "mod":
        p.at += 2
        modulus = p.expression()
        p.expect(")")
        return modulus
    return None


def _degree_sign(p: Parser) -> bool:
    """Whether ^\\circ or ^{\\circ} follows; moves to the last of its tokens."""
    if p.ahead().text in ("circ", "o"):
        p.at += 1
        return True
    if p.ahead().text == "{" and p.ahead(2).text == "circ" and p.ahead(3).text == "}":
        p.at += 3
        return True
    return False
