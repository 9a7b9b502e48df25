"""Grades every completion by the rule-based verifier, in three ways: as stated, boxed only, leniently."""

from __future__ import annotations

from collections.abc import Sequence

from limo_ablate.core.progress import keep_alive
from limo_ablate.data.grade.grader import Answered, Grade
from limo_ablate.data.grade.votes import votes
from limo_ablate.verify import Verdict, verify_many
from limo_ablate.verify.extract import Extract


def verified(answered: Sequence[Answered]) -> list[Grade]:
    """Grades by the rule-based verifier: as stated, in a box only, and leniently."""
    stated, boxed, lenient = (_graded(answered, mode) for mode in ("stated", "boxed", "lenient"))
    return [
        Grade(
            answer=one.answer,
            status=one.status,
            rule=one.rule,
            reason=one.reason,
            boxed=box.status == "correct",
            lenient=loose.status == "correct",
            vote=vote,
        )
        for one, box, loose, vote in zip(stated, boxed, lenient, _votes(answered, stated), strict=True)
    ]


def _graded(answered: Sequence[Answered], mode: Extract) -> list[Verdict]:
    return verify_many(
        [(one.completion, one.gold) for one in answered],
        extract=mode,
        choices=[one.options for one in answered],
        prompts=[one.prompt for one in answered],
        finished=[one.finished for one in answered],
        thinking=answered[0].thinking if answered else "auto",
        progress=_report_alive,
    )


def _report_alive(_: int) -> None:
    """Grading thousands of long completions takes minutes, which must not look like a hang."""
    keep_alive()


def _votes(answered: Sequence[Answered], verdicts: Sequence[Verdict]) -> list[int | None]:
    by_problem: dict[str, list[int]] = {}
    for row, one in enumerate(answered):
        by_problem.setdefault(one.problem, []).append(row)
    by_row: dict[int, int | None] = {}
    for rows in by_problem.values():
        options = answered[rows[0]].options
        by_row |= zip(rows, votes([verdicts[row] for row in rows], options), strict=True)
    return [by_row[row] for row in range(len(answered))]
