"""Graders for answers that are no mathematics: texts, numbers with a tolerance, patterns.

Texts are compared after Unicode normalisation (NFKC), without case, with single spaces, without quotation
marks or punctuation around them. Of a gold answer that is a solution, what it states counts, as for the
verifier (`#### 18`, a box). Nothing here executes model output; patterns come from the benchmark, and
have a time limit.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

import regex

from limo_ablate.trial.evaluate.grader import Answered, Grade
from limo_ablate.trial.evaluate.votes import RIGHT
from limo_ablate.verify.extract import extract
from limo_ablate.verify.gold import read_gold
from limo_ablate.verify.turns import final_part

VERSION = 1
"""Raised when these graders would give other grades."""
LONGEST = 2000
"""Characters of an answer that are read; longer ones are wrong."""
SECONDS = 0.5
"""Time limit of a pattern."""
AROUND = " \t\n\"'`*_.,;:!?“”‘’«»()[]"
NUMBER = regex.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3}(?!\d))?|[-+]?\.\d+")


def exact(answered: Sequence[Answered]) -> list[Grade]:
    """Right: the gold answer's text."""
    return _voted(
        answered,
        [_grade(one, "exact", lambda text, gold: plain(text) == plain(read_gold(gold))) for one in answered],
    )


def any_of(answered: Sequence[Answered]) -> list[Grade]:
    """Right: one of the gold answers' texts."""

    def among(one: Answered) -> Callable[[str, str], bool]:
        return lambda text, gold: plain(text) in {plain(part) for part in gold.split(one.grading.separator)}

    return _voted(answered, [_grade(one, "any_of", among(one)) for one in answered])


def number(answered: Sequence[Answered]) -> list[Grade]:
    """Right: the answer's only number is within a tolerance of the gold answer's."""
    return _voted(answered, [_number(one) for one in answered])


def matches(answered: Sequence[Answered]) -> list[Grade]:
    """Right: the gold answer, a regular expression, matches all of the answer, whatever the case."""
    return _voted(answered, [_matched(one) for one in answered])


def plain(text: str) -> str:
    """The text as it is compared."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("−", "-")
    return " ".join(folded.split()).strip(AROUND)


def _voted(answered: Sequence[Answered], grades: Sequence[Grade]) -> list[Grade]:
    """The grades with classes of equal texts, for majority votes: right answers are one class."""
    classes: dict[tuple[str, str], int] = {}
    voted = []
    for one, grade in zip(answered, grades, strict=True):
        vote = None
        if grade.answer is not None:
            known = (one.problem, plain(grade.answer))
            vote = RIGHT if grade.status == "correct" else classes.setdefault(known, len(classes) + 1)
        voted.append(replace(grade, vote=vote))
    return voted


def _answer(one: Answered) -> str | Grade:
    """The answer's text, or the grade of a completion without one."""
    if one.grading.answer == "stated":
        found = extract(one.completion, prompt=one.prompt, finished=one.finished, thinking=one.thinking)
        return Grade(status="incorrect", rule=found) if isinstance(found, str) else found.text
    text, breaks_off = final_part(one.completion, one.prompt, one.thinking)
    if breaks_off or not one.finished:
        return Grade(status="incorrect", rule="unfinished")
    text = text.strip()
    if one.grading.answer == "last_line":
        text = text.rpartition("\n")[2].strip()
    return text or Grade(status="incorrect", rule="no_answer")


def _grade(one: Answered, rule: str, equal: Callable[[str, str], bool]) -> Grade:
    answer = _answer(one)
    if isinstance(answer, Grade):
        return answer
    if not one.gold.strip():
        return Grade(status="undecided", rule=rule, answer=answer, reason="the gold answer is empty")
    if len(answer) > LONGEST:
        return _wrong(rule, answer[:LONGEST], f"longer than {LONGEST} characters")
    right = equal(answer, one.gold)
    return _right(rule, answer) if right else _wrong(rule, answer, "not the gold answer")


def _number(one: Answered) -> Grade:
    answer = _answer(one)
    if isinstance(answer, Grade):
        return answer
    golds, found = _numbers(read_gold(one.gold)), _numbers(answer[:LONGEST])
    if len(golds) != 1:
        reason = f"the gold answer has {len(golds)} numbers, not one"
        return Grade(status="undecided", rule="number", answer=answer, reason=reason)
    if len(found) != 1:
        return _wrong("number", answer, f"{len(found)} numbers, not one")
    (gold,), (value,) = golds, found
    relative, absolute = (Decimal(repr(given)) for given in (one.grading.relative, one.grading.absolute))
    if abs(value - gold) <= max(absolute, relative * abs(gold)):
        return _right("number", answer)
    return _wrong("number", answer, f"{value:g} is not within the tolerance of {gold:g}")


def _numbers(text: str) -> set[Decimal]:
    """The different numbers of a text, per cent as shares of 100: 12 % and 0.12 are one."""
    text = unicodedata.normalize("NFKC", text).replace("−", "-").replace("\\%", "%")
    found = set()
    for match in NUMBER.finditer(text):
        share = text[match.end() :].lstrip().startswith("%")
        value = Decimal(match[0].replace(",", "")).scaleb(-2 if share else 0)
        if math.isfinite(float(value)):
            found.add(value)
    return found


def _matched(one: Answered) -> Grade:
    answer = _answer(one)
    if isinstance(answer, Grade):
        return answer
    try:
        right = regex.fullmatch(one.gold, answer.strip(), regex.IGNORECASE, timeout=SECONDS)
    except regex.error as error:
        reason = f"the gold answer is no regular expression: {error}"
        return Grade(status="undecided", rule="regex", answer=answer, reason=reason)
    except TimeoutError:
        reason = f"the pattern took more than {SECONDS} s"
        return Grade(status="undecided", rule="regex", answer=answer, reason=reason)
    return _right("regex", answer) if right else _wrong("regex", answer, "the pattern does not match")


def _right(rule: str, answer: str) -> Grade:
    return Grade(status="correct", rule=rule, answer=answer, boxed=True, lenient=True)


def _wrong(rule: str, answer: str, reason: str) -> Grade:
    return Grade(status="incorrect", rule=rule, answer=answer, reason=reason)
