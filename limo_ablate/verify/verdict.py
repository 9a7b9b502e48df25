"""What the verifier says about one answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

VERSION = 2
"""Part of the key of every stored verdict: raise it with any change that can change a verdict."""

Status = Literal["correct", "incorrect", "undecided"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The grade of one completion.

    `undecided` means the verifier could not grade (`reason` says why); a completion without an answer is
    `incorrect` by the rule `no_answer`. Scores count the two apart.
    """

    status: Status
    rule: str
    """The check that decided, such as `exact`, `interval` or `numeric`; docs/verifier.md lists them."""
    reason: str | None
    """Why it is not correct, or could not be decided."""
    answer: str | None
    """The text that was taken as the answer."""
    gold_form: str | None
    """The gold answer as parsed, as text."""
    answer_form: str | None
    milliseconds: float

    @property
    def correct(self) -> bool:
        return self.status == "correct"
