"""Converts a row of any source to the pool's schema: its problem and its solutions."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any

import pyarrow as pa

from limo_ablate.data.pool.choices import MultipleChoice
from limo_ablate.data.pool.config import FieldsConfig
from limo_ablate.data.pool.fields import Row, field_value
from limo_ablate.data.pool.options import read_options
from limo_ablate.data.pool.strip import strip
from limo_ablate.data.pool.turns import answer_of, check_all_read, check_no_media, exchange, named_turns
from limo_ablate.data.pool.values import (
    ANY,
    BadRow,
    flag,
    gold_text,
    level,
    number,
    parse_pass_rate,
    stated_gold,
)

PROBLEMS = pa.schema(
    {
        "id": pa.string(),
        "text": pa.string(),
        "gold": pa.string(),
        "source": pa.string(),
        "level": pa.float64(),
        "subject": pa.string(),
        "pass_rate": pa.float64(),
    }
)
SOLUTIONS = pa.schema(
    {
        "id": pa.string(),
        "problem": pa.string(),
        "text": pa.string(),
        "tier": pa.string(),
        "teacher": pa.string(),
        "correct": pa.bool_(),
        "tokens": pa.int64(),
        "score": pa.float64(),
        "digest": pa.string(),
    }
)
BESIDE = ("teacher", "tier", "correct", "complete", "tokens", "score")
"""Fields with a value for each solution."""
DIALOGS = pa.schema({"problem": pa.string(), "dialog": pa.string()})
REJECTED = pa.schema({"where": pa.string(), "reason": pa.string()})


@dataclass(slots=True)
class ParsedRow:
    """A row in the pool's schema."""

    problem: Row
    """A row of `problems.parquet`; id and gold answer are None if the row has none."""
    solutions: list[Row] = field(default_factory=list)
    incomplete: list[int] = field(default_factory=list)
    """Positions of the row's incomplete solutions."""
    tries: tuple[float, float] = (0.0, 0.0)
    """(number right, number of tries) of a reference model."""
    stated: bool = False
    """Whether the gold answer was taken from the first solution."""
    level_unread: bool = False
    """Whether it has a level that is not a number."""
    unstripped: bool = False
    """Whether its problem lacks what `fields.strip_prefix`, ... cut off."""
    dialog: str | None = None
    """JSON of the turns before the answer, where there is more than one question; see `turns`."""
    own_system: bool = False
    """Whether it has a system turn, which is not read."""
    several_golds: bool = False
    """Whether any of several gold answers is right."""
    choice: MultipleChoice | None = None
    """The parts of a multiple-choice problem."""

    @property
    def asked(self) -> str:
        """All that is asked: what makes it another problem."""
        return self.dialog or str(self.problem["text"])


def matches(row: Row, where: dict[str, Any] | None) -> bool:
    """Whether each field has the wanted value, or one from a list of wanted values."""
    return not where or all(
        field_value(row, field) in (wanted if isinstance(wanted, list) else [wanted])
        for field, wanted in where.items()
    )


def read_row(row: Row, fields: FieldsConfig, source: str) -> ParsedRow:
    """The row in the pool's schema; BadRow if it does not fit."""
    dialog, derived = None, _derived(fields)
    own_system = check_all_read(row, fields, derived.named)
    text = field_value(row, fields.problem)
    if asked := exchange(text, field_value(row, derived.answered), row, fields):
        text, own_system, dialog = asked.question, asked.system, asked.dialog
    if not isinstance(text, str) or not text.strip():
        raise BadRow("problem: no text")
    check_no_media(text, row)
    missing: list[str] = []
    if derived.stripped:
        text, missing = (text, ["dialog"]) if dialog else strip(text, derived.stripped)
    if not text:
        raise BadRow("problem: nothing is left of its text by fields.strip_prefix, strip_suffix and strip")
    solutions, incomplete = _solutions(row, fields, derived.beside)
    if dialog and fields.options:
        raise BadRow("options: under a dialog they can't be listed")
    choice = read_options(row, text, fields) if fields.options else None
    gold = choice.letter() if choice else _gold(row, fields, solutions)
    if fields.answer and gold is None:
        raise BadRow("answer: no gold answer")
    given_level = field_value(row, fields.level)
    problem = {
        "id": _text(field_value(row, fields.id)),
        "text": choice.text() if choice else text,
        "gold": gold,
        "source": _text(field_value(row, fields.source)) or source,
        "level": level(given_level),
        "subject": _text(field_value(row, fields.subject)),
    }
    tries = _tries(row, fields, len(solutions) + len(incomplete))
    unread = problem["level"] is None and _text(given_level) is not None
    return ParsedRow(
        problem,
        solutions,
        incomplete,
        tries,
        stated=fields.answer is None,
        level_unread=unread,
        unstripped=bool(missing) and any(derived.stripped.values()),
        dialog=dialog,
        several_golds=choice is None and fields.answers == "any" and ANY in (gold or ""),
        own_system=own_system,
        choice=choice,
    )


@dataclass(frozen=True, slots=True)
class _Derived:
    """What follows from fields, for all rows."""

    stripped: dict[str, str]
    beside: list[tuple[str, str]]
    """(key, field) of each field that the rows have with values of solutions."""
    answered: str | None
    """The field of the solutions, where it is another one than the problem's."""
    named: dict[str, set[int]]
    """Column -> turns of it that fields name one by one."""


@cache
def _derived(fields: FieldsConfig) -> _Derived:
    beside = [(role, path) for role in BESIDE if (path := getattr(fields, role)) is not None]
    solution = fields.solution if isinstance(fields.solution, str) else None
    answered = None if solution == fields.problem else solution
    return _Derived(fields.stripped(), beside, answered, named_turns(fields))


def _solutions(row: Row, fields: FieldsConfig, beside: list[tuple[str, str]]) -> tuple[list[Row], list[int]]:
    texts = _texts(row, fields.solution)
    if len(texts) > 1 and fields.solution == fields.answer and fields.answers != "any":
        texts = [(None, gold_text(field_value(row, fields.answer), fields.answers))]  # of parts
    values: list[Row] = [{} for _ in texts]
    for role, path in beside:
        _give_each(values, role, field_value(row, path))
    solutions: list[Row] = []
    incomplete = []
    for number_, (teacher, text) in enumerate(texts):
        if text is None or (isinstance(text, str) and not text.strip()):
            continue
        if isinstance(text, int | float | Decimal):  # an answer that is trained on as it is
            given, text = text, gold_text(text)
            if text is None:
                raise BadRow(f"solution {number_}: {given} is no text and no number")
        if not isinstance(text, str):
            raise BadRow(f"solution {number_}: not text but a {type(text).__name__}")
        own = values[number_]
        if flag(own.get("complete"), "complete") is False:
            incomplete.append(number_)
        else:
            solutions.append(_solution(text, teacher, own))
    return solutions, incomplete


def _solution(text: str, teacher: str | None, own: Row) -> Row:
    """`own`: values of the fields that the rows have."""
    tokens = number(own.get("tokens"), "tokens")
    if tokens is not None and not (1 <= tokens < 2**31 and tokens == int(tokens)):
        raise BadRow(f"tokens: {own['tokens']} is no number of tokens")
    return {
        "text": text,
        "tier": _text(own.get("tier")),
        "teacher": _text(teacher or own.get("teacher")),
        "correct": flag(own.get("correct"), "correct"),
        "tokens": None if tokens is None else int(tokens),
        "score": number(own.get("score"), "score"),
    }


def _texts(row: Row, field: str | dict[str, str] | None) -> list[tuple[str | None, Any]]:
    """(teacher, text) for each solution column or entry; the text is None where it is missing."""
    if not isinstance(field, dict):
        texts = answer_of(field_value(row, field))
        listed = texts if isinstance(texts, list) else [] if texts is None else [texts]
        return [(None, text) for text in listed]
    values = [(teacher, answer_of(field_value(row, path))) for teacher, path in field.items()]
    if all(texts is None for _, texts in values):
        return []
    return [(t, text) for t, texts in values for text in (texts if isinstance(texts, list) else [texts])]


def _give_each(solutions: list[Row], role: str, value: Any) -> None:
    """Gives each solution its own value: of a list by position, else the same for all."""
    if not isinstance(value, list):
        for own in solutions:
            own[role] = value
    elif solutions and len(value) != len(solutions):
        raise BadRow(f"{role}: {len(value)} values beside {len(solutions)} solutions")
    else:
        for own, each in zip(solutions, value, strict=False):
            own[role] = each


def _gold(row: Row, fields: FieldsConfig, solutions: list[Row]) -> str | None:
    """The row's gold answer; where no field has it, the one that its first solution states which is not
    marked wrong."""
    if fields.answer:
        return gold_text(field_value(row, fields.answer), fields.answers)
    first = next((solution["text"] for solution in solutions if solution["correct"] is not False), None)
    return stated_gold(first) if first else None


def _tries(row: Row, fields: FieldsConfig, solutions: int) -> tuple[float, float]:
    if fields.pass_rate:
        return parse_pass_rate(field_value(row, fields.pass_rate))
    correct = field_value(row, fields.correct)
    if not isinstance(correct, list):
        judged = flag(correct, "correct") if solutions else None
        return (0.0, 0.0) if judged is None else (float(judged * solutions), float(solutions))
    flags = [flag(each, "correct") for each in correct]
    known = [each for each in flags if each is not None]
    return float(sum(known)), float(len(known))


def _text(value: Any) -> str | None:
    return None if value is None or value == "" or value != value else str(value)  # != is for NaN
