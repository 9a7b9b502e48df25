"""Parses words in formulas: units, counted nouns, "percent", numbers in words."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from limo_ablate.verify.nodes import Constant, Mul, Node, NotParsed, Number, Unit, divide
from limo_ablate.verify.units import UNITS
from limo_ablate.verify.vocabulary import NUMBER_WORDS, STOP_WORDS

if TYPE_CHECKING:
    from limo_ablate.verify.parser import Parser

_ORDINAL_ENDINGS = ("th ", "st ", "nd ", "rd ")


def unit_or_number(p: Parser, text: str) -> Node:
    """A unit, "percent", a number word or a counted noun; NotParsed for a sentence."""
    word = text.strip(" ,.;:")
    lower = word.lower()
    if lower in ("e", "i"):
        return Constant(lower)
    if lower in NUMBER_WORDS:
        return Number(Fraction(NUMBER_WORDS[lower]))
    before = p.tokens[p.at - 2].kind if p.at > 1 else "eof"
    if lower in ("squared", "cubed") and "text" not in (before, p.token.kind):  # of a number, not of a unit
        raise NotParsed(f"a power in words: {word!r}")
    if lower.startswith(_ORDINAL_ENDINGS):
        raise NotParsed(f"a number in order: {word[:40]!r}")
    parts = [_unit(part) for part in _split_words(word)]
    if (
        any(part.lower() in STOP_WORDS for part in word.split())
        or len(parts) > 4
        or set(word) & set("是的为")
    ):
        raise NotParsed(f"a sentence: {word[:40]!r}")
    unit = parts[0]
    for part in parts[1:]:
        unit = Mul((unit, part))
    return unit


def _split_words(word: str) -> list[str]:
    return word.replace("-", " ").split() or [word]


def _unit(word: str) -> Node:
    """One word: a unit, "square" before a length, or any noun."""
    if "/" in word:
        top, _, bottom = word.partition("/")
        return divide(_unit(top), _unit(bottom))
    stem = word if word in UNITS else word.lower()
    return Unit(stem, True) if stem in UNITS else Unit(word.lower(), False)
