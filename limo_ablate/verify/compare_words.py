"""Compares words, times and dates."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from limo_ablate.verify.nodes import Clock, Constant, Date, Node, Number, Ratio, Relation, SetOf, Words
from limo_ablate.verify.verdict import Outcome, different, same

_SIGNS = (("no solution", SetOf(())), ("infinitely many", Constant("inf")))
_TRUTH = {"yes": "true", "no": "false"}
_ANY_OF_KIND = re.compile(
    r"\A(?:any|every|each|all) (?!natural|whole)([a-z]+) (?:numbers?|integers?)(?: of [a-z]+)?\Z"
)
"""The odd of "any odd number of players"."""


def compare_words(gold: Node, answer: Node) -> Outcome | None:
    if not isinstance(gold, Words) and not isinstance(answer, Words):
        return None
    for one, other in ((gold, answer), (answer, gold)):
        if isinstance(one, Words) and (one.text, other) in _SIGNS:
            return same("words")
    if isinstance(gold, Words) and isinstance(answer, Words):
        g, a = (_ANY_OF_KIND.sub(r"\1", _TRUTH.get(node.text, node.text)) for node in (gold, answer))
        if g == a or (gold.items and gold.items == answer.items):
            return same("words")
    return different("words", "not the same words")


def compare_times(gold: Node, answer: Node, compare: Callable[[Node, Node], Outcome]) -> Outcome | None:
    """Times and dates: 2:00 PM is 14:00. AM or PM, or a year, that only one side names is ignored."""
    if isinstance(gold, Clock) and isinstance(answer, Clock):
        halves = {gold.half, answer.half} - {None}
        if len(halves) < 2 and gold.minutes == answer.minutes:
            return same("time")
        equal_times = gold.half != answer.half and _minutes_of_day(gold) == _minutes_of_day(answer)
        return same("time") if equal_times else different("time", "not the same time")
    if isinstance(gold, Date) and isinstance(answer, Date):
        years = {gold.year, answer.year} - {None}
        same_day = (gold.month, gold.day) == (answer.month, answer.day)
        return same("date") if same_day and len(years) < 2 else different("date", "not the same date")
    for one, other in ((gold, answer), (answer, gold)):
        if isinstance(one, Clock) and one.half and other == Number(one.minutes / 60):
            return same("time")  # 5 pm, where an hour is asked for
        if isinstance(one, Clock) and one.half is None and _is_ratio(other):
            ratio = Ratio(tuple(Number(Fraction(n)) for n in divmod(one.minutes, 60)))
            return compare(*((ratio, answer) if one is gold else (gold, ratio)))
    if isinstance(gold, (Clock, Date)) or isinstance(answer, (Clock, Date)):
        return different("time", "a time against something else")
    return None


def _is_ratio(node: Node) -> bool:
    return isinstance(node, Ratio) or (isinstance(node, Relation) and any(map(_is_ratio, node.operands)))


def _minutes_of_day(clock: Clock) -> Fraction:
    if clock.half is None:
        return clock.minutes % 1440
    return clock.minutes % 720 + (720 if clock.half == "pm" else 0)
