"""One schema for every source: what a row says about its problem, and its solutions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from limo_ablate.data.pool.choices import Choice
from limo_ablate.data.pool.config import FieldsConfig
from limo_ablate.data.pool.fields import Row, value
from limo_ablate.data.pool.values import Misfit, flag, given_gold, level, number, right_of, stated_gold

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
REJECTED = pa.schema({"where": pa.string(), "reason": pa.string()})


@dataclass(frozen=True, slots=True)
class Entry:
    """What one row holds."""

    problem: Row
    """A row of `problems.parquet`; its id and its gold answer are None where the row doesn't give one."""
    solutions: list[Row] = field(default_factory=list)
    incomplete: list[int] = field(default_factory=list)
    """Positions of the row's solutions that broke off."""
    tries: tuple[float, float] = (0.0, 0.0)
    """Right ones and all of a reference model's tries."""
    stated: bool = False
    """Whether the gold answer is what the first solution states."""
    level_unread: bool = False
    """Whether its level is there, and no number."""
    choice: Choice | None = None
    """The problem taken apart, where it is one of multiple choice."""


def matches(row: Row, where: dict[str, Any] | None) -> bool:
    """Whether each field has the wanted value, or one of those in a list."""
    return all(
        value(row, field) in (wanted if isinstance(wanted, list) else [wanted])
        for field, wanted in (where or {}).items()
    )


def read_row(row: Row, fields: FieldsConfig, source: str) -> Entry:
    """The row in the schema; Misfit says why it is none."""
    text = value(row, fields.problem)
    if not isinstance(text, str) or not text.strip():
        raise Misfit("problem: no text")
    solutions, incomplete = _solutions(row, fields)
    gold = given_gold(value(row, fields.answer)) if fields.answer else _stated(solutions)
    if fields.answer and gold is None:
        raise Misfit("answer: no gold answer")
    given_level = value(row, fields.level)
    problem = {
        "id": _text(value(row, fields.id)),
        "text": text,
        "gold": gold,
        "source": _text(value(row, fields.source)) or source,
        "level": level(given_level),
        "subject": _text(value(row, fields.subject)),
    }
    tries = _tries(row, fields, len(solutions) + len(incomplete))
    unread = problem["level"] is None and _text(given_level) is not None
    return Entry(problem, solutions, incomplete, tries, stated=fields.answer is None, level_unread=unread)


def _solutions(row: Row, fields: FieldsConfig) -> tuple[list[Row], list[int]]:
    texts = _texts(row, fields.solution)
    beside = {
        role: _beside(value(row, getattr(fields, role)), role, len(texts))
        for role in ("teacher", "tier", "correct", "complete", "tokens", "score")
    }
    solutions: list[Row] = []
    incomplete = []
    for number_, (teacher, text) in enumerate(texts):
        if text is None or (isinstance(text, str) and not text.strip()):
            continue
        if not isinstance(text, str):
            raise Misfit(f"solution {number_}: not text but a {type(text).__name__}")
        own = {role: values[number_] for role, values in beside.items()}
        if flag(own.pop("complete"), "complete") is False:
            incomplete.append(number_)
        else:
            solutions.append(_solution(text, {**own, "teacher": teacher or own["teacher"]}))
    return solutions, incomplete


def _solution(text: str, own: Row) -> Row:
    tokens = number(own["tokens"], "tokens")
    if tokens is not None and not (1 <= tokens < 2**31 and tokens == int(tokens)):
        raise Misfit(f"tokens: {own['tokens']} is no number of tokens")
    return {
        "text": text,
        "tier": _text(own["tier"]),
        "teacher": _text(own["teacher"]),
        "correct": flag(own["correct"], "correct"),
        "tokens": None if tokens is None else int(tokens),
        "score": number(own["score"], "score"),
    }


def _texts(row: Row, field: str | dict[str, str] | None) -> list[tuple[str | None, Any]]:
    """(teacher, text) of each solution the row has room for; a missing one is None."""
    teachers = field.items() if isinstance(field, dict) else [(None, field)]
    found = [(teacher, value(row, path)) for teacher, path in teachers]
    if all(texts is None for _, texts in found):
        return []
    return [(t, text) for t, texts in found for text in (texts if isinstance(texts, list) else [texts])]


def _beside(found: Any, role: str, solutions: int) -> list[Any]:
    """A value for each solution: a list's by position, any other for all."""
    if not isinstance(found, list) or not solutions:
        return [found] * solutions
    if len(found) != solutions:
        raise Misfit(f"{role}: {len(found)} values beside {solutions} solutions")
    return found


def _stated(solutions: list[Row]) -> str | None:
    return stated_gold(solutions[0]["text"]) if solutions else None


def _tries(row: Row, fields: FieldsConfig, solutions: int) -> tuple[float, float]:
    if fields.pass_rate:
        return right_of(value(row, fields.pass_rate))
    found = value(row, fields.correct)
    flags = [flag(f, "correct") for f in (found if isinstance(found, list) else [found] * solutions)]
    judged = [f for f in flags if f is not None]
    return float(sum(judged)), float(len(judged))


def _text(found: Any) -> str | None:
    return None if found is None or found == "" or found != found else str(found)  # NaN too
