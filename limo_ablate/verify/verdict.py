"""The result of one comparison (`Outcome`) and of grading one completion (`Verdict`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

VERSION = 8
"""Part of the key of every stored verdict. Raise it with any change that can change a verdict."""

Status = Literal["correct", "incorrect", "undecided"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The grade of one completion.

    `undecided`: the verifier could not grade it, `reason` says why. A completion that states no answer is
    `incorrect` by the rule `no_answer`, one that breaks off before it states one by the rule `unfinished`.
    Scores count each of these separately.
    """

    status: Status
    rule: str
    """The check that decided, such as `exact`, `interval` or `numeric`; docs/verifier.md lists them."""
    reason: str | None
    """Why it is incorrect or undecided."""
    answer: str | None
    """The text that was taken as the answer."""
    milliseconds: float

    @property
    def correct(self) -> bool:
        return self.status == "correct"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one comparison."""

    equal: bool | None
    """None: undecided."""
    rule: str
    reason: str | None = None


def same(rule: str) -> Outcome:
    return Outcome(True, rule)


def different(rule: str, reason: str) -> Outcome:
    return Outcome(False, rule, reason)


def undecided(rule: str, reason: str) -> Outcome:
    return Outcome(None, rule, reason)


def all_equal(outcomes: Iterable[Outcome], rule: str) -> Outcome:
    """Equal if all are equal, different as soon as one is different, otherwise the first undecided
    outcome."""
    first_undecided: Outcome | None = None
    for outcome in outcomes:
        if outcome.equal is False:
            return Outcome(False, rule, outcome.reason)
        if outcome.equal is None and first_undecided is None:
            first_undecided = outcome
    return first_undecided or same(rule)
