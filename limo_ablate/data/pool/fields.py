"""Reads fields of a row: a column, a path into nested columns, or a template of such parts.

    value({"turns": [{"text": "2+2?"}]}, "turns.0.text")                  -> "2+2?"
    value({"instruction": "Add.", "input": ""}, "{instruction}\\n{input}") -> "Add."

A column with exactly that name takes precedence, even if it contains dots, as may a nested key where no
shorter one is there; -1 is the last entry of a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.typed import nearest
from limo_ablate.data.pool.config import BenchmarkSetConfig, ProblemsConfig
from limo_ablate.data.pool.values import BadRow

Row = dict[str, Any]

_PART = re.compile(r"\{([^{}]+)\}")
_ESCAPED = {r"\n": "\n", r"\t": "\t", "\\\\": "\\"}
_ESCAPE = re.compile(r"\\[nt\\]")


def field_value(row: Row, field: str | None) -> Any:
    """The value of `field` in `row`; None if it is missing."""
    if field is None or field in row:
        return None if field is None else row[field]
    if _parts(field):
        return _fill_template(row, field)
    node: Any = row
    for step in _path(row, _steps(field)):
        node = _step_into(node, step)
    return node


@cache
def _parts(field: str) -> tuple[str, ...]:
    return tuple(_PART.findall(field))


@cache
def _steps(field: str) -> tuple[str, ...]:
    return tuple(field.split("."))


def _path(node: Any, steps: tuple[str, ...]) -> Iterator[str]:
    """The steps of a path, where a key of a nested column may have dots itself."""
    while steps:
        joined = range(len(steps), 1, -1) if isinstance(node, dict) and steps[0] not in node else ()
        size = next((size for size in joined if ".".join(steps[:size]) in node), 1)
        step, steps = ".".join(steps[:size]), steps[size:]
        yield step
        node = _step_into(node, step)


def _step_into(node: Any, step: str) -> Any:
    if isinstance(node, dict):
        return node.get(step)
    try:
        return node[int(step)] if isinstance(node, list) else None
    except (ValueError, IndexError):
        return None


def _fill_template(row: Row, template: str) -> str | None:
    """The template with its parts filled in; None if all of them are empty.

    Its \\n and \\t are a new line and a tab, as shells and YAML's single quotes keep them as they are typed.
    """
    texts = {part: _text(field_value(row, part), part) for part in _parts(template)}
    if not any(text.strip() for text in texts.values()):
        return None
    return _PART.sub(lambda match: texts[match[1]], _unescaped(template)).strip()


@cache
def _unescaped(template: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED[match[0]], template)


def _text(value: Any, part: str) -> str:
    """A list of texts has a line for each."""
    if isinstance(value, list) and all(isinstance(line, str | int | float) for line in value):
        return "\n".join(map(str, value))
    if isinstance(value, list | dict):
        raise BadRow(f"{{{part}}}: a {type(value).__name__} can't be part of a text")
    return "" if value is None else str(value)


def check_fields(config: ProblemsConfig, first: Row, key: str) -> None:
    """UserError if the source's first row lacks a configured column: an error in the configuration, which is
    at `key`."""
    fields = config.fields
    assert fields != "auto"
    if fields and fields.teacher and isinstance(fields.solution, dict):
        raise UserError(f"{key}.fields.solution already names the teachers; set {key}.fields.teacher to null")
    for column in config.where or {}:
        check_field(first, column, f"{key}.where", config.path)
    graded = isinstance(config, BenchmarkSetConfig)
    for role, field in fields.columns() if fields else ():
        required = role == "problem" or (role == "answer" and graded)
        check_field(first, field, f"{key}.fields.{role}", config.path, optional=not required)


def check_field(first: Row, field: str, key: str, source: str | None, *, optional: bool = False) -> None:
    """UserError if `field`, the value of the key `key`, is not in the first row of `source`."""
    null = f" If the rows have none: {key}=null" if optional else ""
    for part in () if field in first else _parts(field) or (field,):
        steps = (part,) if part in first else tuple(_path(first, _steps(part)))
        node: Any = first
        for depth, step in enumerate(steps):
            if not _may_hold(node, step):
                missing = _missing(node, step, ".".join(steps[:depth]), source)
                raise UserError(f"{key}={part}: {missing}{null and '.'}{null}")
            node = _step_into(node, step)


def _may_hold(node: Any, step: str) -> bool:
    """Whether `step` exists in `node`, or could in other rows: null and empty lists don't tell."""
    if node is None or node == []:
        return True
    if isinstance(node, list):
        return step.removeprefix("-").isdigit()
    return isinstance(node, dict) and step in node


def _missing(node: Any, step: str, at: str, source: str | None) -> str:
    file = f" of {source}" if source else ""
    if not at:
        return f"not a column{file}{nearest(step, node)} Columns: {', '.join(node)}"
    if isinstance(node, dict):
        return f"column {at}{file} has no {step}{nearest(step, node)} It has: {', '.join(node)}"
    return f"column {at}{file} is a {type(node).__name__}; entries of a list are numbered, as in {at}.0"
