"""Rows of a source as plain dicts, each with where it stands: files, folders, hub data sets.

Files are read by us and not by `datasets`, because real ones hold U+2028 inside strings (lines end at
"\\n" only) and columns of mixed types (an answer that is 27.0 in one row and a list in the next).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from limo_ablate.artifacts import digest_folder
from limo_ablate.errors import UserError

SUFFIXES = (".jsonl", ".json", ".parquet")

Row = dict[str, Any]


def file_rows(path: str) -> Iterator[tuple[str, Row | str]]:
    """(where, row) for each row of a .jsonl, .json or .parquet file; for an unreadable row, the reason."""
    file = Path(path)
    if not file.is_file():
        raise UserError(
            f"no such file: {path}" + (f" (looked in {Path.cwd()})" if not file.is_absolute() else "")
        )
    if file.suffix == ".jsonl":
        yield from _jsonl(file)
    elif file.suffix == ".json":
        yield from _json(file)
    elif file.suffix == ".parquet":
        import polars as pl

        for number, row in enumerate(pl.read_parquet(file).iter_rows(named=True)):
            yield f"{file.name}:{number}", row
    else:
        raise UserError(f"{path}: can't read {file.suffix or 'this'} files; use one of {', '.join(SUFFIXES)}")


def _jsonl(file: Path) -> Iterator[tuple[str, Row | str]]:
    with file.open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                yield f"{file.name}:{number}", f"not JSON: {error.msg}"
                continue
            yield f"{file.name}:{number}", row if isinstance(row, dict) else "not a JSON object"


def _json(file: Path) -> Iterator[tuple[str, Row | str]]:
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{file}: not JSON (line {error.lineno}: {error.msg})") from error
    if not isinstance(rows, list):
        raise UserError(f"{file}: expected a list of objects, found {type(rows).__name__}")
    for number, row in enumerate(rows):
        yield f"{file.name}[{number}]", row if isinstance(row, dict) else "not a JSON object"


def hub_rows(path: str, split: str, revision: str | None) -> Iterator[tuple[str, Row | str]]:
    """Rows of a hub data set, or of a local folder that holds a snapshot of one."""
    from datasets import load_dataset

    try:
        data = load_dataset(path, split=split, revision=revision)
    except Exception as error:  # `datasets` raises many kinds; all mean that this source can't be read
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"data set {path} (split {split}) can't be loaded: {reason}") from error
    for number, row in enumerate(data):
        yield f"{path}:{split}[{number}]", row


def source_digest(path: str) -> str | None:
    """SHA-256 of a local file, or over the files of a local folder; None for a hub id."""
    root = Path(path)
    if not root.exists():
        return None
    if root.is_file():
        with root.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    return digest_folder(root)
