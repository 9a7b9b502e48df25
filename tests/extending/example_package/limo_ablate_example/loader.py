"""data.source=sqlite: the rows of a table (`subset`) of an SQLite file (`path`)."""

import sqlite3
from collections.abc import Iterator
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.config import ProblemsConfig


def sqlite_rows(config: ProblemsConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each row stands, for messages, and its columns by name; `fields` says what they hold."""
    if config.path is None or config.subset is None:
        raise UserError("source=sqlite needs `path`, a file, and `subset`, a table of it")
    try:
        with sqlite3.connect(f"file:{config.path}?mode=ro", uri=True) as database:
            database.row_factory = sqlite3.Row
            rows = database.execute(f'SELECT * FROM "{config.subset}" ORDER BY rowid')  # noqa: S608
            for number, row in enumerate(rows, start=1):
                yield f"{config.subset}:{number}", dict(row)
    except sqlite3.Error as error:
        raise UserError(f"{config.path}: {error}") from error
