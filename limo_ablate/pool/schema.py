"""One schema for every source: a row becomes a problem and its solutions, or a rejection with its reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from limo_ablate.config import FieldsConfig
from limo_ablate.errors import UserError
from limo_ablate.typed import nearest

PROBLEMS = {
    "id": pl.String,
    "text": pl.String,
    "gold": pl.String,
    "source": pl.String,
    "level": pl.Float64,
    "subject": pl.String,
    "pass_rate": pl.Float64,
}
SOLUTIONS = {
    "id": pl.String,
    "problem": pl.String,
    "text": pl.String,
    "tier": pl.String,
    "teacher": pl.String,
}
REJECTED = {"where": pl.String, "reason": pl.String}

Row = dict[str, Any]


@dataclass
class Tables:
    """What a source holds, row by row."""

    problems: dict[str, Row] = field(default_factory=dict)
    solutions: list[Row] = field(default_factory=list)
    rejected: list[Row] = field(default_factory=list)


def text_id(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def gold_text(value: Any) -> str | None:
    """A gold answer as text: 27.0 is "27", several answers are joined by commas; None when there is none."""
    if value is None or isinstance(value, bool | str):
        return None if value is None else str(value).strip()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | dict):
        parts = [gold_text(v) for v in (value.values() if isinstance(value, dict) else value)]
        return ", ".join(p for p in parts if p)
    return str(value)


def check_fields(fields: FieldsConfig, first: Row, name: str) -> None:
    """UserError when the source's first row lacks a named column: a mistake in the config, not in a row."""
    for role in fields.__dataclass_fields__:
        column = getattr(fields, role)
        if column is not None and column not in first:
            hint = nearest(column, first)
            raise UserError(
                f"{name}: fields.{role}={column} is not a column{hint} Columns: {', '.join(first)}"
            )


def read(
    rows: Iterable[tuple[str, Row | str]], fields: FieldsConfig, name: str, *, ids_by_text: bool
) -> Tables:
    """Every row of a source in the schema.

    With `ids_by_text` (pools), rows with the same problem text are one problem with several solutions;
    otherwise (benchmarks) a row without an id is named by its position, and each row is a problem.
    """
    tables = Tables()
    checked = False
    for number, (where, row) in enumerate(rows):
        if isinstance(row, str):
            tables.rejected.append({"where": where, "reason": row})
            continue
        if not checked:
            check_fields(fields, row, name)
            checked = True
        default_id = None if ids_by_text else str(number)
        if reason := _add(tables, row, fields, name, default_id):
            tables.rejected.append({"where": where, "reason": reason})
    return tables


def _add(tables: Tables, row: Row, fields: FieldsConfig, name: str, default_id: str | None) -> str | None:
    """Adds a row to the tables, or says why it does not fit."""
    text = row.get(fields.problem)
    if not isinstance(text, str) or not text.strip():
        return f"{fields.problem}: no problem text"
    solutions = _solutions(row, fields)
    gold = gold_text(row.get(fields.answer)) if fields.answer else _boxed(solutions[0] if solutions else "")
    if not gold:
        return f"{fields.answer or 'solution'}: no gold answer"
    given = row.get(fields.id) if fields.id else None
    problem_id = str(given) if given is not None else default_id or text_id(text)
    problem = {
        "id": problem_id,
        "text": text,
        "gold": gold,
        "source": _text(row, fields.source) or name,
        "level": _number(row, fields.level),
        "subject": _text(row, fields.subject),
        "pass_rate": _number(row, fields.pass_rate),
    }
    known = tables.problems.setdefault(problem_id, problem)
    if known is not problem and (known["text"], known["gold"]) != (text, gold):
        return f"problem {problem_id} is there already with another text or gold answer"
    if known is not problem and default_id is not None:
        return f"problem {problem_id} is there already"
    for solution in solutions:
        number = len(tables.solutions)
        tier = _text(row, fields.tier)
        tables.solutions.append(
            {
                "id": f"{problem_id}-{number}",
                "problem": problem_id,
                "text": solution,
                "tier": tier,
                "teacher": None,
            }
        )
    return None


def _solutions(row: Row, fields: FieldsConfig) -> list[str]:
    value = row.get(fields.solution) if fields.solution else None
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, str) and v.strip()]


def _boxed(text: str) -> str | None:
    from limo_ablate.verify.extract import last_boxed

    return last_boxed(text)


def _text(row: Row, column: str | None) -> str | None:
    value = row.get(column) if column else None
    return None if value is None else str(value)


def _number(row: Row, column: str | None) -> float | None:
    """A number, also from text such as MATH's "Level 5"."""
    value = row.get(column) if column else None
    if isinstance(value, str):
        value = value.removeprefix("Level").strip()
    try:
        return None if value is None else float(value)
    except ValueError:
        return None
