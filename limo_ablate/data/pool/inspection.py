"""How a source's rows are read by the schema they have: for `data=auto` and `limo-ablate data inspect`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.overrides import parse_overrides
from limo_ablate.core.text import counted
from limo_ablate.core.typed import from_dict
from limo_ablate.data.pool.config import LOADERS, FieldsConfig, PoolConfig, ProblemsConfig
from limo_ablate.data.pool.fields import Row, check_fields
from limo_ablate.data.pool.numbering import is_settled, numbered
from limo_ablate.data.pool.options import OtherNumbering
from limo_ablate.data.pool.schema import ParsedRow, read_row
from limo_ablate.data.pool.schemas import SCHEMAS, Reading, recognise
from limo_ablate.data.pool.sources import Rows
from limo_ablate.data.pool.values import BadRow

SAMPLE = 200
"""Rows by which a schema is recognised."""
LOOKED_AT = 10_000
"""Rows of which `inspect` counts how they are read."""
PREFIX = "data.fields."
WIDTH = 300
"""Characters of a text that are shown."""


def recognised(config: ProblemsConfig, key: str) -> ProblemsConfig:
    """The source with the fields of its schema, where they are `auto`. `key`: where it is configured."""
    if config.fields != "auto":
        return config
    return replace(config, fields=_reading(config, key)[1].fields)


def reading_notes(data: PoolConfig) -> list[str]:
    """What is to be known of how the fields of a pool's sources are recognised, where they are `auto`."""
    lines = []
    for name, part in (data.parts or {data.name: data}).items():
        if part.fields == "auto":
            _, reading = _reading(part, "data")
            columns = dict.fromkeys(column for row in _sample(part) for column in row)
            said = [*reading.notes, *_not_read(_unread(columns, reading))]
            lines += [f"{name}: {line}" if data.parts else line for line in said]
    return lines


def _sample(config: ProblemsConfig) -> list[Row]:
    return list(islice((row for _, row in _loaded(config) if isinstance(row, dict)), SAMPLE))


def named_fields(overrides: Sequence[str]) -> FieldsConfig:
    """The fields that overrides of `data.fields` name. Raises UserError."""
    values: dict[str, Any] = {"answer": None}
    for override in parse_overrides(overrides):
        name = override.key.removeprefix(PREFIX)
        if name == override.key or override.swept:
            raise UserError(
                f"{override.text}: `{PREFIX}NAME=COLUMN` is expected, such as {PREFIX}problem=text"
            )
        values[name] = override.values[0]
    return from_dict(FieldsConfig, values, PREFIX.removesuffix("."))


def _reading(config: ProblemsConfig, key: str) -> tuple[str | None, Reading]:
    if isinstance(config.fields, FieldsConfig):
        return None, Reading(config.fields)
    rows = _sample(config)
    if not rows:
        unread = next((f"; {where}: {reason}" for where, reason in _loaded(config)), "")
        raise UserError(
            f"{key}.fields=auto: {config.path or config.source} has no rows by which to recognise "
            f"them{unread}"
        )
    try:
        return recognise(rows)
    except UserError as error:
        raise UserError(f"{key}.fields=auto: {config.path or config.source}: {error}") from error


@dataclass
class RowReader:
    """Reads the rows of a source, whose first ones settle how options are numbered."""

    config: ProblemsConfig
    fields: FieldsConfig
    name: str

    def __post_init__(self) -> None:
        """Raises UserError where the first rows don't tell how options are numbered."""
        self.fields = numbered(self._first_rows, self.fields)

    def read(self, row: Row) -> ParsedRow:
        """Raises BadRow for a row that does not fit, OtherNumbering where perhaps none does."""
        try:
            return read_row(row, self.fields, self.name)
        except OtherNumbering as odd:
            if not self._numbering_is_settled:
                raise
            raise BadRow(odd.of_one_row) from odd

    @cached_property
    def _numbering_is_settled(self) -> bool:
        return is_settled(self._first_rows(), self.fields)

    def _first_rows(self) -> Iterator[Row]:
        return (row for _, row in islice(_loaded(self.config), SAMPLE) if isinstance(row, dict))


def _loaded(config: ProblemsConfig) -> Rows:
    rows: Rows = LOADERS.load(config.source)(replace(config, fields=FieldsConfig(problem="", answer=None)))
    return rows


@dataclass(frozen=True, slots=True)
class Inspection:
    name: str | None
    """Name of the schema; None where the columns were named."""
    reading: Reading
    shown: list[ParsedRow]
    rows: int
    rejected: Counter[str]
    unread: list[str]
    """Columns that nothing reads."""
    without_gold: int
    own_system: int
    without_solution: int


def inspect(config: ProblemsConfig, shown: int) -> Inspection:
    """How a file is read. Raises UserError for one whose rows are of no schema."""
    name, reading = _reading(config, "data")
    reader = RowReader(config, reading.fields, "file")
    parsed: list[ParsedRow] = []
    rejected: Counter[str] = Counter()
    columns: dict[str, None] = {}
    counts: Counter[str] = Counter()
    for row in islice(_loaded(config), LOOKED_AT):
        counts["rows"] += 1
        columns |= dict.fromkeys(row[1]) if isinstance(row[1], dict) else {}
        entry = _parsed(row[1], reader, first=counts["rows"] == 1)
        if isinstance(entry, str):
            rejected[entry] += 1
            continue
        counts["gold"] += entry.problem["gold"] is None
        counts["system"] += entry.own_system
        counts["solution"] += not entry.solutions
        if len(parsed) < shown:
            parsed.append(entry)
    return Inspection(
        name, reading, parsed, counts["rows"], rejected, _unread(columns, reading),
        without_gold=counts["gold"], own_system=counts["system"], without_solution=counts["solution"],
    )  # fmt: skip


def _parsed(row: Any, reader: RowReader, *, first: bool) -> ParsedRow | str:
    if not isinstance(row, dict):
        return str(row)
    if first:
        check_fields(replace(reader.config, fields=reader.fields), row, "data")
    try:
        return reader.read(row)
    except BadRow as misfit:
        return str(misfit)


def _unread(columns: Iterable[str], reading: Reading) -> list[str]:
    read = set(_roots(reading.fields))
    return [name for name in columns if name not in read and name.lower() not in reading.read]


def _not_read(columns: list[str]) -> list[str]:
    return [f"columns that are not read: {', '.join(columns)}"] if columns else []


def _roots(config: FieldsConfig) -> Iterator[str]:
    """The columns that fields read."""
    for _, path in config.columns():
        parts = [part.partition("}")[0] for part in path.split("{")[1:]] if "{" in path else [path]
        for part in parts:
            yield part
            yield part.partition(".")[0]


def report(found: Inspection, path: str) -> Iterator[str]:
    """The lines that `limo-ablate data inspect` prints."""
    schema = f"{SCHEMAS.entry(found.name).about} (schema {found.name})" if found.name else "columns as named"
    yield f"{path}: {schema}"
    yield f"{counted(found.rows, 'row')} looked at, {found.rows - found.rejected.total()} can be used"
    for number, row in enumerate(found.shown, 1):
        yield ""
        yield f"--- row {number} as it is read"
        yield f"problem   {_short(row.problem['text'])}"
        yield f"gold      {_short(row.problem['gold'] or '(none)')}"
        for solution in row.solutions[:2]:
            yield f"solution  {_short(solution['text'])}"
        for role in ("level", "subject", "source"):
            if getattr(found.reading.fields, role):
                yield f"{role:9} {_short(str(row.problem[role]))}"
    yield ""
    yield from _lost(found)
    yield ""
    yield from _to_paste(found, path)


def facts(found: Inspection) -> dict[str, Any]:
    """The inspection in JSON types."""
    return {
        "schema": found.name,
        "rows": found.rows,
        "usable": found.rows - found.rejected.total(),
        "rejected": dict(found.rejected.most_common()),
        "without_gold": found.without_gold,
        "without_solution": found.without_solution,
        "unread": found.unread,
        "notes": found.reading.notes,
        "fields": _set_fields(found.reading.fields),
        "grader": found.reading.grader,
        "shown": [{**row.problem, "solutions": row.solutions} for row in found.shown],
    }


def _short(text: str) -> str:
    text = text if len(text) <= WIDTH else f"{text[:WIDTH]} ... ({len(text)} characters)"
    return text.replace("\n", "\n          ")


def _lost(found: Inspection) -> Iterator[str]:
    yield "What is not used:"
    lost = [
        *(f"{counted(count, 'row')}: {reason}" for reason, count in found.rejected.most_common(5)),
        *([f"{counted(found.without_gold, 'row')} without a gold answer: can't be graded"]
          if found.without_gold else []),
        *([f"{counted(found.without_solution, 'row')} without a solution: can't be trained on"]
          if found.without_solution else []),
        *_not_read(found.unread),
        *([f"{counted(found.own_system, 'row')} used without the system turn, "
          "which fields.system_turns=keep keeps"]
          if found.own_system else []),
        *found.reading.notes,
    ]  # fmt: skip
    yield from (f"  - {line}" for line in lost or ["nothing"])


def _to_paste(found: Inspection, path: str) -> Iterator[str]:
    text = json.dumps(path, ensure_ascii=False)
    name = "".join(c if c.isalnum() else "_" for c in Path(path).name.partition(".")[0]) or "own"
    inner = _flow(found.reading.fields)
    short = f" (or data=auto data.path={path})" if found.name else ""
    yield f"As a pool, conf/data/{name}.yaml{short}:"
    yield ""
    yield "  defaults: [jsonl, _self_]"
    yield f"  name: {name}"
    yield f"  path: {text}"
    yield f"  fields: {inner}"
    yield "  without_gold: keep" if found.without_gold else "  without_gold: reject"
    yield ""
    if found.without_gold == found.rows - found.rejected.total():
        yield "As a benchmark: no, as nothing could be graded without gold answers."
        return
    yield f"As a benchmark, conf/eval/{name}.yaml:"
    yield ""
    yield "  defaults: [jsonl, _self_]"
    yield "  benchmarks:"
    yield "    own:"
    yield f"      path: {text}"
    yield f"      fields: {_flow(replace(found.reading.fields, teacher=None))}"
    if found.reading.grader:
        yield f"      grader: {found.reading.grader}"


def _flow(config: FieldsConfig) -> str:
    return "{" + ", ".join(f"{name}: {_scalar(value)}" for name, value in _set_fields(config).items()) + "}"


def _set_fields(config: FieldsConfig) -> Row:
    """The fields that are set; of those at their defaults, the three that the file presets."""
    shown: Row = {}
    for part in fields(FieldsConfig):
        value = getattr(config, part.name)
        default = None if part.default is MISSING else part.default
        if value != default or part.name in ("problem", "answer", "solution"):
            shown[part.name] = list(value) if isinstance(value, tuple) else value
    return shown


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
