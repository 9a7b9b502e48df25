"""Groups samples of a problem into classes of equal answers, over which a majority is counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from limo_ablate.verify.api import compare_answers
from limo_ablate.verify.verdict import Verdict

RIGHT = 0
"""Class of the answers that the verifier accepts."""


def votes(verdicts: Sequence[Verdict], options: Mapping[str, str] | None) -> list[int | None]:
    """Classes of a problem's samples: `RIGHT`, then 1, 2, ... in order of appearance; None without an answer.

    Answers are in one class if the verifier finds them equal. An answer that it can't grade counts too, in
    a class with identical texts.
    """
    classes: dict[str, int] = {}
    return [_vote(verdict, classes, options) for verdict in verdicts]


def _vote(verdict: Verdict, classes: dict[str, int], options: Mapping[str, str] | None) -> int | None:
    if verdict.answer is None:
        return None
    if verdict.status == "correct":
        return RIGHT
    if verdict.answer not in classes:
        equal = (
            number for text, number in classes.items() if compare_answers(text, verdict.answer, options).equal
        )
        classes[verdict.answer] = next(equal, max(classes.values(), default=RIGHT) + 1)
    return classes[verdict.answer]
