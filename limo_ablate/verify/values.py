"""Finds the values in a text: its formulas, and the numbers outside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from limo_ablate.verify.boxes import BETWEEN
from limo_ablate.verify.cache import cached
from limo_ablate.verify.units import UNITS

FORMULA = re.compile(
    r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|(?<!\\)\$(?!\$)([^$\n]+?)(?<!\\)\$(?!\d)", re.DOTALL
)
NUMBER = re.compile(
    r"[(\[]\s*-?[\w./\\]+(?:\s*,\s*-?[\w./\\]+)+\s*[)\]]|(?<![A-Za-z0-9_.\\^{/,])[-−]?(?:\\?[$€£¥₹]\s?)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
    r"(?:\s?/\s?\d+|(?::\d+)+)?(?:\s?\\?%)?(?![^\W_\u2e80-\u9fff])|(?<![A-Za-z0-9_.])[-−]?\.\d+"
    r"|[-−]?\\[dtc]?frac\{\d+\}\{\d+\}"
)
WORD = re.compile(r"\\?[^\W\d_\u2e80-\u9fff]{2,}|[\u2e80-\u9fff]{1,2}")
_UNIT = re.compile(
    r"\s*(?:(?:square|cubic)\s+)?([A-Za-z]+(?:/[A-Za-z]+|\s+(?:Celsius|Fahrenheit)\b|\s+per\s+(?:square\s+)?[A-Za-z]+(?:\s+(?:squared|cubed)\b)?)?|[\u2e80-\u9fff]{1,2})(?:\^?[23²³])?"
    r"(?![^\W_\u2e80-\u9fff])"
)
_NO_UNITS = frozenset(("in", "A", "C", "I"))
_UNIT_WORDS = frozenset(("percent", "degrees", "degree"))
_LABEL = re.compile(
    r"\b(?:step|part|case|question|problem|exercise|example|equation|eq\.?|section|lemma|theorem|claim|method)s?"
    r"\s*[#(]?\s*\Z",
    re.IGNORECASE,
)
"""What a number after it counts: "Step 1" has no value."""
_COMPUTED = re.compile(r"\d[^=\d]{0,20}[-−+*/x×÷][^=]{0,80}=\s*[-−$€£]{0,2}\d[\d.,]*[^=\d]*\Z")


_COMPOUND = re.compile(
    r"\s(?:hours?|hrs?|minutes?|mins?|days?|weeks?|years?|feet|foot|ft|yards?|pounds?|lbs?|degrees?)(?:,?\s+and|,)?\s"
)
_SMALLER = re.compile(r"\s(?:minutes?|mins?|seconds?|secs?|hours?|days?|months?|inch|ounce|oz)")
"""What stands between and behind the two numbers of 2 hours and 30 minutes."""


class Value(NamedTuple):
    start: int
    end: int
    text: str
    formula: bool


def formula_text(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group).strip()


@cached
def values(text: str) -> tuple[Value, ...]:
    """The formulas, and the numbers outside them that are no labels, in their order."""
    found: list[Value] = []
    at = 0
    for match in [*FORMULA.finditer(text), None]:
        until = match.start() if match else len(text)
        found += [
            Value(number.start(), number.end(), number[0], False)
            for number in NUMBER.finditer(text, at, until)
            if not _LABEL.search(text, max(0, number.start() - 20), number.start())
        ]
        if match:
            found.append(Value(match.start(), match.end(), formula_text(match), True))
            at = match.end()
    for at in range(len(found) - 1, 0, -1):
        first, second = found[at - 1], found[at]
        if _COMPOUND.fullmatch(text, first.end, second.start) and _SMALLER.match(text, second.end):
            unit = _COMPOUND.fullmatch(text, first.end, second.start)[0].split()[0].rstrip(",")  # type: ignore[index]
            found[at - 1 : at + 1] = [
                Value(first.start, second.end, f"{first.text} {unit} {second.text}", False)
            ]
    return tuple(found)


def is_computed(sentence: str) -> bool:
    """Whether a sentence ends in a calculation with numbers: "If she has $5, she needs 9 - 5 = $4 more"."""
    return bool(_COMPUTED.search(sentence)) and "?" not in sentence


def is_label(text: str) -> bool:
    """Whether a text ends in a word that counts something, and its number or letter: Step 1."""
    return bool(_LABEL.search(re.sub(r"(?:\d+|[A-Za-z])\s*\Z", "", text)))


def is_bare(line: str) -> bool:
    """Whether a line is a value and nothing else."""
    return bool(values(line)) and not prose(line)


def is_number(line: str) -> bool:
    return bool(NUMBER.fullmatch(line.strip(" *.$")))


@cached
def prose(text: str) -> tuple[str, ...]:
    """The words outside formulas, except units; two Chinese characters count as a word."""
    text = FORMULA.sub(" ", text)
    words = (word for word in WORD.findall(text) if word[0] != "\\")
    return tuple(word.lower() for word in words if word not in UNITS and word not in _UNIT_WORDS)


def grouped(text: str, found: Sequence[Value]) -> list[list[Value]]:
    """Values that only "and", "or" and commas separate belong together."""
    groups: list[list[Value]] = []
    for value in found:
        between = text[groups[-1][-1].end : value.start] if groups else ""
        if groups and between.strip() and BETWEEN.fullmatch(between[:40]):
            groups[-1].append(value)
        else:
            groups.append([value])
    return groups


def with_unit(text: str, value: Value) -> str:
    unit = _UNIT.match(text, value.end)
    if not unit or (value.formula and "=" in value.text):
        return value.text
    name = unit[1].partition("/")[0].partition(" ")[0]
    known = (name in UNITS or name.lower() in UNITS or name in _UNIT_WORDS) and name not in _NO_UNITS
    if len(name) == 1 and name.isascii() and text[unit.end() :].strip(" .*"):
        known = False
    if known and len(name) == 1 and not value.formula:
        return f"{value.text} \\text{{{unit[0]}}}"  # a letter in prose is no factor
    return value.text + (text[value.end : unit.end()] if known else "")
