"""What one comparison finds: equal, different, or not decided, and by which rule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    equal: bool | None
    """None: not decided."""
    rule: str
    reason: str | None = None


def same(rule: str) -> Outcome:
    return Outcome(True, rule)


def different(rule: str, reason: str) -> Outcome:
    return Outcome(False, rule, reason)


def unknown(rule: str, reason: str) -> Outcome:
    return Outcome(None, rule, reason)


def every(outcomes: Iterable[Outcome], rule: str) -> Outcome:
    """Equal if all are; different as soon as one is; otherwise the first that is undecided."""
    open_: Outcome | None = None
    for outcome in outcomes:
        if outcome.equal is False:
            return Outcome(False, rule, outcome.reason)
        if outcome.equal is None and open_ is None:
            open_ = outcome
    return open_ or same(rule)
