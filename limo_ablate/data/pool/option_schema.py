"""The schema of multiple choice: which columns hold the options, and which says what option is right.

What could be read in two ways is refused: a wrong letter would be graded as if it were right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Literal, TypeAlias

from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.choices import MultipleChoice
from limo_ablate.data.pool.config import FieldsConfig
from limo_ablate.data.pool.numbering import is_settled, told
from limo_ablate.data.pool.options import COLUMNS
from limo_ablate.data.pool.schemas import (
    LABELS,
    NEARLY_ALL,
    PROBLEMS,
    VERDICTS,
    Reading,
    Sample,
    asked_text,
    is_flag,
    nearly_all,
)

RIGHT = (
    "answerkey", "answer_idx", "answer_index", "cop", "correct_option", "correct", "answer", "correct_answer",
    "correct answer", "best_answer", "label", "gold", "target",
)  # fmt: skip
"""Names, in lower case, of the column that says which option is right."""
POSITIONS = ("answerkey", "answer_idx", "answer_index", "cop", "correct_option", "label")
"""Those of them that hold no texts."""
_OPTION = re.compile(r"(answer|ans|option|opt|op|choice|ending|sol)_?([a-j]|\d)")
_DISTRACTOR = re.compile(r"distractor_?\d+|incorrect answer \d+|incorrect_answer_?\d+")

First: TypeAlias = Literal[0, 1] | None
Told: TypeAlias = list[tuple[FieldsConfig, list[str | None]]]
"""Fields by which options can be read, and which option is right then in each row."""


def options(sample: Sample) -> Reading | None:
    asked = sample.column(
        "question", "problem", "input", "prompt", "query", "sentence", "goal", "ctx", *PROBLEMS, kind=str
    )
    if asked is None:
        return None
    names, listed = _listed(sample)
    if not listed or not names:
        return None
    worked = sample.column("rationale", "explanation", "solution", "exp", "reasoning", "cot", kind=str)
    fields = FieldsConfig(problem=asked_text(sample, asked), answer=None, solution=worked, options=listed)
    columns = [column for column in map(sample.column, names) if column]
    if found := {column: ways for column in columns if (ways := _told(sample, fields, column))}:
        return _agreed(found)
    doubtful = next((column for column in columns if _names_options(sample, column)), None)
    if doubtful is None or (names is RIGHT and _is_common(listed)):
        return None
    raise UserError(
        f"{doubtful} ({sample.first(doubtful)}) seems to name an option in "
        f"{listed if isinstance(listed, str) else ', '.join(listed)}, but of most rows the right one "
        "can't be told; set data.fields.problem, answer, options and first_option (data=jsonl)"
    )


def _is_common(listed: str | tuple[str, ...]) -> bool:
    """Whether columns may hold something else (`a`, `b`), or are known to whoever checks a reading."""
    return isinstance(listed, str) or all(len(name) == 1 for name in listed)


def _listed(sample: Sample) -> tuple[tuple[str, ...], str | tuple[str, ...] | None]:
    """Names of columns that may say which option is right, and what holds the options."""
    if listed := sample.column(*COLUMNS, kind=(list, dict)) or _option_columns(sample):
        return RIGHT, listed
    column = sample.column("answers", kind=list)  # without a letter or position: ways to write the answer
    if column is None or not nearly_all(len(value) > 1 for value in sample.values(column)):
        return (), None
    return tuple(name for name in POSITIONS if _names_options(sample, sample.column(name))), column


def _told(sample: Sample, fields: FieldsConfig, column: str) -> Told:
    """The ways in which a column tells which option is right: several where its numbers may be positions
    from 0 or from 1, or options' texts."""
    both: tuple[First, ...] = (0, 1)
    settled = [first for first in both if is_settled(sample.rows, _numbered(fields, column, first))]
    firsts = tuple(settled) if len(settled) == 1 else both
    read: dict[First, list[MultipleChoice | None]] = {
        first: [told(row, _numbered(fields, column, first)) for row in sample.rows] for first in firsts
    }
    shown = [not _is_hidden(value) for value in sample.values(column)].count(True)
    if not any(2 * _count(choices) > shown for choices in read.values()):
        return []
    if _is_verdict(sample, column, max(len(choice.options) for choice in chain(*read.values()) if choice)):
        return []
    as_texts = [told(row, _numbered(fields, column, None)) for row in sample.rows]
    if _count(as_texts) > NEARLY_ALL * shown:
        read |= {None: as_texts}
    ways: Told = []
    for first, choices in read.items():
        right = [choice.options[choice.right] if choice else None for choice in choices]
        if any(right) and all(right != other for _, other in ways):
            ways.append((_numbered(fields, column, first), right))
    return ways


def _count(choices: Iterable[MultipleChoice | None]) -> int:
    return sum(choice is not None for choice in choices)


def _numbered(fields: FieldsConfig, column: str, first: First) -> FieldsConfig:
    return replace(fields, answer=column, first_option=first)


def _is_hidden(answer: Any) -> bool:
    """Whether the right option is not said: null, or a negative number as in many test splits."""
    return answer is None or answer == "" or str(answer).startswith("-")


def _is_verdict(sample: Sample, column: str, options: int) -> bool:
    """Whether a column may say that a model's answer was right, rather than which option is."""
    name, values = column.lower(), sample.values(column)
    if name in VERDICTS:
        return all(map(is_flag, values))
    return name in LABELS and (
        all(isinstance(value, bool) for value in values) or (options > 2 and all(map(is_flag, values)))
    )


def _agreed(told: dict[str, Told]) -> Reading:
    """The reading by the first column that tells the right option in one way. Raises UserError where none
    does, or another column says something else."""
    sure = next((column for column, ways in told.items() if len(ways) == 1), None)
    if sure is None:
        raise UserError(_not_settled(*next(iter(told.items()))))
    fields, right = told[sure][0]
    for column, ways in told.items():
        if not any(_same(right, other) for _, other in ways):
            raise UserError(
                f"{sure} and {column} say that different options are right; set data.fields.problem, answer, "
                "options and first_option (data=jsonl)"
            )
    return Reading(fields, read=frozenset(column.lower() for column in told))


def _not_settled(column: str, ways: Told) -> str:
    pairs = [(bool(a), bool(b)) for a, b in zip(ways[0][1], ways[1][1], strict=True)]
    if (True, False) in pairs and (False, True) in pairs:
        return (
            f"{column} has positions that fit options numbered from 0 and others that fit options numbered "
            "from 1; correct the rows that are wrong, or leave them out"
        )
    return (
        f"{column}: its numbers may be positions of options from 0, from 1, or options' texts, and no row "
        f"says which; set data.fields.problem, answer={column}, options and first_option (data=jsonl)"
    )


def _same(right: Sequence[str | None], other: Sequence[str | None]) -> bool:
    return all(a == b for a, b in zip(right, other, strict=True) if a and b)


def _names_options(sample: Sample, column: str | None) -> bool:
    """Whether the values of a column can be letters or positions of options."""
    values = sample.values(column) if column else []
    return bool(values) and nearly_all(
        (isinstance(value, int) and not isinstance(value, bool))
        or (isinstance(value, str) and len(value.strip()) == 1)
        for value in values
    )


def _option_columns(sample: Sample) -> tuple[str, ...]:
    """Columns that hold an option each, those of wrong options with the right one first."""
    lettered = tuple(column for name in "abcdefghij" if (column := sample.column(name)))
    if len(lettered) > 1:
        return lettered
    stems: dict[str, dict[str, str]] = {}
    for name in sample.rows[0]:
        if found := _OPTION.fullmatch(name.lower()):
            stems.setdefault(found[1], {})[found[2]] = name
    for numbered in stems.values():
        if len(numbered) > 1 and min(numbered) in ("a", "0", "1"):
            return tuple(numbered[suffix] for suffix in sorted(numbered))
    wrong = [name for name in sample.rows[0] if _DISTRACTOR.fullmatch(name.lower())]
    right = sample.column("correct_answer", "correct answer", "best_answer", kind=str)
    return (right, *wrong) if wrong and right else ()
