"""Loaders: read the rows of a source as dicts, each with its location.

A loader is a function from the configuration of the problems to an iterator of (where, row). `where` is the
location in messages (`train.jsonl:17`). A row is a dict of columns, from which `fields` selects; or the
reason (text) why it can't be read; or a `ParsedRow`, which is used as it is. A loader reads what its
configuration says (`path`, `subset`, `split`, `revision`, `limit`), always in the same order, and raises
UserError for a source that can't be read. A pool's key contains that configuration, the bytes of a local
`path` and the loader's source code: data from elsewhere must be identified by a revision.

We read files ourselves instead of with `datasets`, because real files have U+2028 inside strings (lines end
only at "\\n") and columns of mixed types (an answer that is 27.0 in one row and a list in the next). All
formats but JSON that is one value are read row by row, so files may be large; a row may not.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import logging
import os
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

from limo_ablate.core.errors import UserError
from limo_ablate.core.lines import LONGEST, bounded_lines
from limo_ablate.data.pool.config import BenchmarkSetConfig, FieldsConfig, PoolConfig, ProblemsConfig
from limo_ablate.data.pool.fields import Row
from limo_ablate.data.pool.files import encoding_of, format_of, readable_files, unpacked
from limo_ablate.data.pool.parquet_rows import arrow_rows, check_names, check_snapshot, parquet_rows
from limo_ablate.data.pool.remote import is_url, local_copy
from limo_ablate.data.pool.schema import ParsedRow
from limo_ablate.data.pool.turns import is_conversation

logger = logging.getLogger(__name__)

LONGEST_FILE = 2**30
"""Bytes of a .json file, unpacked."""
SEPARATORS = (",", ";", "\t", "|")
_SEP = re.compile(r"\"?sep=(.)\"?")
_QUOTED = re.compile(r'"[^"]*"')
Rows: TypeAlias = Iterator[tuple[str, Row | ParsedRow | str]]
"""(where, row) for each row; the reason in place of an unreadable row."""


def _without_repeats(pairs: list[tuple[str, Any]]) -> Row:
    """A JSON object. Raises ValueError for a key that stands there twice: only one value could be read."""
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {repeated[:60]!r} stands in one object twice")
    return row


_DECODER = json.JSONDecoder(object_pairs_hook=_without_repeats)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def miniature_source(config: ProblemsConfig) -> Rows:
    from limo_ablate.data.miniature.recurrence import problems
    from limo_ablate.data.miniature.solutions import solutions

    if config.path or config.fields or not config.miniature:
        raise UserError("source=miniature needs `miniature`, and neither `path` nor `fields`")
    for problem in problems(config.miniature):
        yield problem["id"], ParsedRow(problem, solutions([problem]))


def counting_source(config: ProblemsConfig) -> Rows:
    from limo_ablate.data.counting import rows

    if config.path:
        raise UserError("source=counting is generated, and has no `path`")
    for row in rows(config.split):
        yield row["id"], row


def hub_source(config: ProblemsConfig) -> Rows:
    return hub_rows(_path(config), config.subset, config.split, config.revision)


def file_source(config: ProblemsConfig) -> Rows:
    path = _path(config)
    if is_url(path):
        path = str(local_copy(path, config.revision))
    return file_rows(path, config.split, config.encoding)


def _path(config: ProblemsConfig) -> str:
    """The source's path; UserError if it has no path or no fields."""
    if config.path is None:
        key = "data.parts.NAME.path"
        if isinstance(config, PoolConfig | BenchmarkSetConfig):
            key = "data.path" if isinstance(config, PoolConfig) else "eval.benchmarks.NAME.path"
        raise UserError(f"no path given: set {key} to a file or a hub id")
    require_fields(config)
    return config.path


def require_fields(config: ProblemsConfig) -> FieldsConfig:
    if not isinstance(config.fields, FieldsConfig):
        raise UserError("`fields` must say which column holds what")
    return config.fields


def file_rows(
    path: str, split: str = "train", encoding: str | None = None
) -> Iterator[tuple[str, Row | str]]:
    """The rows of a file, or of all files of a folder or pattern; see `limo_ablate.data.pool.files`."""
    files = readable_files(path, split)
    root = Path(os.path.commonpath([file.parent for file in files]))
    for file in files:
        yield from _rows_in(file, file.relative_to(root).as_posix(), encoding)


def _rows_in(file: Path, name: str, encoding: str | None) -> Iterator[tuple[str, Row | str]]:
    """`name`: of the file, in locations."""
    kind = format_of(file)
    if kind in (".parquet", ".arrow"):
        rows = parquet_rows(file) if kind == ".parquet" else arrow_rows(file)
        for number, row in enumerate(rows):
            yield f"{name}:{number}", row
        return
    encoding = encoding_of(file, encoding)
    try:
        if kind in (".csv", ".tsv"):
            yield from _table(file, name, encoding)
        elif _holds_lines(file, encoding):
            yield from _lines(file, name, encoding)
        else:
            yield from _whole(file, name, encoding)
    except (UnicodeError, LookupError) as error:
        raise UserError(f"{file}: can't be read as {encoding}: {error}; set its `encoding`") from error


def _text(stream: IO[bytes], encoding: str, errors: str = "strict") -> IO[str]:
    """Lines end at "\\n" alone."""
    return io.TextIOWrapper(io.BufferedReader(cast("Any", stream)), encoding, errors, newline="\n")


def _holds_lines(file: Path, encoding: str) -> bool:
    """Whether a JSON file has a row in each line, whatever its name says: its first line alone is JSON, and
    another one follows, or it is an object in a file that is said to have lines."""
    with unpacked(file) as stream, _text(stream, encoding, "replace") as text:
        lines = (line.strip() for line in bounded_lines(text, str(file)))
        first = next((line for line in lines if line), "")
        if not first.startswith(("[", "{")):
            return format_of(file) != ".json"
        try:
            json.loads(first)
        except (ValueError, RecursionError):
            return format_of(file) != ".json" and first.startswith("{")
        if format_of(file) != ".json" and first.startswith("{"):
            return True
        return next((True for line in lines if line), False)


def _lines(file: Path, name: str, encoding: str) -> Iterator[tuple[str, Row | str]]:
    with unpacked(file) as stream:
        if encoding in ("utf-8", "utf-8-sig"):  # a line that is not UTF-8 is a row that can't be read
            lines = bounded_lines(stream, str(file))
        else:
            lines = (line.encode() for line in bounded_lines(_text(stream, encoding), str(file)))
        for number, line in enumerate(lines, 1):
            if not line.isspace():
                yield f"{name}:{number}", _object(line)


def _object(line: bytes) -> Row | str:
    try:
        row = _json(line.removeprefix(codecs.BOM_UTF8).decode())
        if _SURROGATE.search(line):
            json.dumps(row, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} (at character {error.pos + 1})"
    except UnicodeEncodeError:
        return "holds half a character (a lone \\ud...)"
    except (ValueError, RecursionError) as error:
        return f"can't be read: {error}"
    return row if isinstance(row, dict) else "not a JSON object"


def _json(text: str) -> Any:
    """As json.loads, which looks for space around the value by two regular expressions."""
    try:
        value, end = _DECODER.raw_decode(text)
    except json.JSONDecodeError:
        return _DECODER.decode(text)
    return value if text[end:] in ("", "\n") else _DECODER.decode(text)


def _whole(file: Path, name: str, encoding: str) -> Iterator[tuple[str, Row | str]]:
    """Rows of a file that is one JSON value."""
    with unpacked(file) as stream:
        content = stream.read(LONGEST_FILE + 1)
    if len(content) > LONGEST_FILE:
        raise UserError(
            f"{file}: over {LONGEST_FILE} bytes; a .json file is read whole, up to 1 GiB: write it as .jsonl"
        )
    try:
        rows = _DECODER.decode(content.decode(encoding))
    except json.JSONDecodeError as error:
        line = error.doc.split("\n")[error.lineno - 1]
        near = line[max(0, error.colno - 20) : error.colno + 20].strip()
        raise UserError(f"{file}: not JSON (line {error.lineno}: {error.msg}, at {near!r})") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: can't be read: {error}") from error
    for number, row in _listed(rows, file):
        yield f"{name}[{number}]", _object(json.dumps(row).encode())


def _listed(rows: Any, file: Path) -> Iterator[tuple[str | int, Any]]:
    """(position or key, row) of a list of rows, the only list in an object, or rows by their ids."""
    lists = [one for one in rows.values() if isinstance(one, list)] if isinstance(rows, dict) else []
    if len(lists) == 1 and (len(rows) == 1 or all(isinstance(row, dict) for row in lists[0])):
        if not is_conversation(lists[0]):
            rows = lists[0]
        elif len(rows) == 1:
            rows = [rows]
    if isinstance(rows, list):
        yield from enumerate(rows)
    elif isinstance(rows, dict) and rows and all(isinstance(row, dict) for row in rows.values()):
        for key, row in rows.items():
            yield key, {"id": key, **row}
    elif isinstance(rows, dict) and rows:
        keys = ", ".join(list(rows)[:5])
        raise UserError(
            f"{file}: expected a list of objects, found one object with {keys}; write [{{...}}, ...], an "
            "object in each line, or an object of objects by id"
        )
    else:
        raise UserError(f"{file}: expected a list of objects, found {type(rows).__name__}")


def _table(file: Path, name: str, encoding: str) -> Iterator[tuple[str, Row | str]]:
    csv.field_size_limit(LONGEST)  # a solution is easily longer than the module's own limit
    try:
        with unpacked(file) as stream, _text(stream, encoding) as text:
            lines = bounded_lines(text, str(file))
            first, separator = _separator(file, next(lines, ""))
            reader: csv.DictReader[Any] = csv.DictReader(
                chain(first, lines), delimiter=separator, strict=True
            )
            check_names(file, list(reader.fieldnames or ()))
            for row in reader:
                where = f"{name}:{reader.line_num + 1 - len(first)}"
                yield where, "more values than columns" if None in row else row
    except csv.Error as error:
        raise UserError(
            f"{file}:{reader.line_num + 2 - len(first)}: can't be read: {_csv_fault(error)}"
        ) from error


def _csv_fault(error: csv.Error) -> str:
    """What is wrong in a table, for people."""
    if "new-line" in str(error):
        return 'lines end in "\\r" alone; write them with "\\n"'
    if "unexpected end" in str(error):
        return 'a value begins with " and does not end'
    return f'{error}; in quotes, write " as ""' if "expected after" in str(error) else str(error)


def _separator(file: Path, line: str) -> tuple[list[str], str]:
    """The lines to read in place of the first one, and what separates values: what Excel's `sep=` says, else
    the commonest candidate in the first line, outside quotes."""
    if found := _SEP.fullmatch(line.strip()):
        return [], found[1]
    plain = _QUOTED.sub("", line)
    if format_of(file) == ".tsv":
        return [line], "\t"
    separator = max(SEPARATORS, key=plain.count)
    if separator != ",":
        logger.info("%s: values are separated by %r", file, separator)
    return [line], separator


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
