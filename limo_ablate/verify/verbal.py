"""Words, times and dates: answers that are no mathematics."""

from __future__ import annotations

from fractions import Fraction

from limo_ablate.verify.nodes import Clock, Date, Node, SetOf, Words
from limo_ablate.verify.outcome import Outcome, different, same


def compare_words(gold: Node, answer: Node) -> Outcome | None:
    if not isinstance(gold, Words) and not isinstance(answer, Words):
        return None
    for one, other in ((gold, answer), (answer, gold)):
        if isinstance(one, Words) and one.text == "no solution" and other == SetOf(()):
            return same("words")
    if isinstance(gold, Words) and isinstance(answer, Words):
        g, a = gold.text.split(), answer.text.split()
        if sorted(g) == sorted(a) and "and" in g:
            return same("words")
        if g == a:
            return same("words")
    return different("words", "not the same words")


def compare_times(gold: Node, answer: Node) -> Outcome | None:
    """2:00 PM and 14:00; a half of the day or a year that only one names is no difference."""
    if isinstance(gold, Clock) and isinstance(answer, Clock):
        halves = {gold.half, answer.half} - {None}
        if len(halves) < 2 and gold.minutes == answer.minutes:
            return same("time")
        equal_times = gold.half != answer.half and _daytime(gold) == _daytime(answer)
        return same("time") if equal_times else different("time", "not the same time")
    if isinstance(gold, Date) and isinstance(answer, Date):
        years = {gold.year, answer.year} - {None}
        same_day = (gold.month, gold.day) == (answer.month, answer.day)
        return same("date") if same_day and len(years) < 2 else different("date", "not the same date")
    if isinstance(gold, (Clock, Date)) or isinstance(answer, (Clock, Date)):
        return different("time", "a time against something else")
    return None


def _daytime(clock: Clock) -> Fraction:
    if clock.half is None:
        return clock.minutes % 1440
    return clock.minutes % 720 + (720 if clock.half == "pm" else 0)
