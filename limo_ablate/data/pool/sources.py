"""Loaders: read the rows of a source as dicts, each with its location.

A loader is a function from the configuration of the problems to an iterator of (where, row). `where` is the
location in messages (`train.jsonl:17`). A row is a dict of columns, from which `fields` selects; or the
reason (text) why it can't be read; or a `ParsedRow`, which is used as it is. A loader reads what its
configuration says (`path`, `subset`, `split`, `revision`, `limit`), always in the same order, and raises
UserError for a source that can't be read. A pool's key contains that configuration, the bytes of a local
`path` and the loader's source code: data from elsewhere must be identified by a revision.

We read files ourselves instead of with `datasets`, because real files have U+2028 inside strings (lines end
only at "\\n") and columns of mixed types (an answer that is 27.0 in one row and a list in the next). All
formats but .json, which is one list, are read row by row, so files may be large; a row may not.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from limo_ablate.core.errors import UserError
from limo_ablate.core.lines import LONGEST, bounded_lines
from limo_ablate.data.pool.config import FieldsConfig, ProblemsConfig
from limo_ablate.data.pool.fields import Row
from limo_ablate.data.pool.parquet_rows import check_snapshot, parquet_rows
from limo_ablate.data.pool.schema import ParsedRow

LONGEST_FILE = 2**30
"""Bytes of a .json file."""
Rows: TypeAlias = Iterator[tuple[str, Row | ParsedRow | str]]
"""(where, row) for each row; the reason in place of an unreadable row."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def miniature_source(config: ProblemsConfig) -> Rows:
    from limo_ablate.data.miniature.recurrence import problems
    from limo_ablate.data.miniature.solutions import solutions

    if config.path or config.fields or not config.miniature:
        raise UserError("source=miniature needs `miniature`, and neither `path` nor `fields`")
    for problem in problems(config.miniature):
        yield problem["id"], ParsedRow(problem, solutions([problem]))


def hub_source(config: ProblemsConfig) -> Rows:
    return hub_rows(_path(config), config.subset, config.split, config.revision)


def file_source(config: ProblemsConfig) -> Rows:
    return file_rows(_path(config))


def _path(config: ProblemsConfig) -> str:
    """The source's path; UserError if it has no path or no fields."""
    if config.path is None:
        raise UserError("no path given: set its `path` to a file or a hub id")
    require_fields(config)
    return config.path


def require_fields(config: ProblemsConfig) -> FieldsConfig:
    if config.fields is None:
        raise UserError("`fields` must say which column holds what")
    return config.fields


def file_rows(path: str) -> Iterator[tuple[str, Row | str]]:
    """The rows of a .jsonl, .json, .csv or .parquet file."""
    file = Path(path)
    if file.is_dir():
        raise UserError(f"{path} is a folder; a snapshot of a hub data set is read with source=hub")
    if not file.is_file():
        raise UserError(
            f"no such file: {path}" + (f" (looked in {Path.cwd()})" if not file.is_absolute() else "")
        )
    readers = {".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".parquet": _parquet}
    if file.suffix not in readers:
        kind = f"{file.suffix} files" if file.suffix else "a file without an extension"
        raise UserError(f"{path}: can't read {kind}; use one of {', '.join(readers)}")
    return readers[file.suffix](file)


def _jsonl(file: Path) -> Iterator[tuple[str, Row | str]]:
    with file.open("rb") as lines:
        for number, line in enumerate(bounded_lines(lines, str(file)), 1):
            if line.strip():
                yield f"{file.name}:{number}", _object(line)


def _object(line: bytes) -> Row | str:
    try:
        row = json.loads(line.decode("utf-8-sig"))
        if _SURROGATE.search(line):
            json.dumps(row, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg}"
    except UnicodeEncodeError:
        return "holds half a character (a lone \\ud...)"
    except (ValueError, RecursionError) as error:
        return f"can't be read: {error}"
    return row if isinstance(row, dict) else "not a JSON object"


def _json(file: Path) -> Iterator[tuple[str, Row | str]]:
    if (size := file.stat().st_size) > LONGEST_FILE:
        raise UserError(f"{file}: {size} bytes; a .json file is read whole, up to 1 GiB: write it as .jsonl")
    try:
        rows = json.loads(file.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise UserError(f"{file}: not JSON (line {error.lineno}: {error.msg})") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: can't be read: {error}") from error
    if not isinstance(rows, list):
        raise UserError(f"{file}: expected a list of objects, found {type(rows).__name__}")
    for number, row in enumerate(rows):
        yield f"{file.name}[{number}]", _object(json.dumps(row).encode())


def _csv(file: Path) -> Iterator[tuple[str, Row | str]]:
    csv.field_size_limit(LONGEST)  # a solution is easily longer than the module's own limit
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader: csv.DictReader[Any] = csv.DictReader(bounded_lines(lines, str(file)))
            for row in reader:
                where = f"{file.name}:{reader.line_num}"
                yield where, "more values than columns" if None in row else row
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{file}: can't be read: {error}") from error


def _parquet(file: Path) -> Iterator[tuple[str, Row | str]]:
    for number, row in enumerate(parquet_rows(file)):
        yield f"{file.name}:{number}", row


def hub_rows(
    path: str, subset: str | None, split: str, revision: str | None
) -> Iterator[tuple[str, Row | str]]:
    """Rows of a hub data set, or of a local folder that holds a snapshot of one."""
    if Path(path).is_file():
        raise UserError(f"{path} is a file; it is read with source=file")
    if Path(path).is_dir():
        check_snapshot(Path(path))
    from datasets import load_dataset

    try:
        data = load_dataset(path, subset, split=split, revision=revision)
    except Exception as error:  # `datasets` raises many kinds; all mean that this source can't be read
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"data set {path} (split {split}) can't be loaded: {reason}") from error
    for number, row in enumerate(data):
        yield f"{path}:{split}[{number}]", row
