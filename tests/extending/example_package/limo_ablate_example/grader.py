"""eval.benchmarks.NAME.grader=last_box: an answer is right when its last box reads as the gold answer."""

import re
from collections.abc import Sequence

from limo_ablate.data.grade.grader import Answered, Grade


def last_box(answered: Sequence[Answered]) -> list[Grade]:
    """One grade for each completion, in their order."""
    return [grade(one.completion, one.gold) for one in answered]


def grade(completion: str, gold: str) -> Grade:
    boxes = re.findall(r"\\boxed\{([^{}]*)\}", completion)
    if not boxes:
        return Grade(status="incorrect", rule="no_answer")
    right = boxes[-1] == gold
    return Grade(
        status="correct" if right else "incorrect",
        rule="last_box",
        answer=boxes[-1],
        reason=None if right else f"reads otherwise than {gold}",
        boxed=right,
        lenient=right,
    )
