"""Which samples of a problem give the same answer: the classes that a majority is counted over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from limo_ablate.verify.api import compare_answers
from limo_ablate.verify.verdict import Verdict

RIGHT = 0
"""The class of the answers that the verifier accepts."""


def votes(verdicts: Sequence[Verdict], options: Mapping[str, str] | None) -> list[int | None]:
    """A problem's samples as classes: `RIGHT`, then 1, 2, ... as they first appear; None without an answer.

    Answers are of one class when the verifier takes one for the other. An answer that it can't grade is
    still a vote: for what reads the same.
    """
    classes: dict[str, int] = {}
    return [_vote(verdict, classes, options) for verdict in verdicts]


def _vote(verdict: Verdict, classes: dict[str, int], options: Mapping[str, str] | None) -> int | None:
    if verdict.rule == "no_answer" or verdict.answer is None:
        return None
    if verdict.status == "correct":
        return RIGHT
    if verdict.answer not in classes:
        equal = (
            number for text, number in classes.items() if compare_answers(text, verdict.answer, options).equal
        )
        classes[verdict.answer] = next(equal, max(classes.values(), default=RIGHT) + 1)
    return classes[verdict.answer]
