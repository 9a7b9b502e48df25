"""Lines of files that may come from anyone: a line that never ends is refused, not read into memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, AnyStr

from limo_ablate.core.errors import UserError

LONGEST = 2**26
"""Bytes of a row, and of a field: 64 MiB, some ten thousand pages."""


def bounded_lines(file: IO[AnyStr], name: str) -> Iterator[AnyStr]:
    """The lines of an open file, with their ends. Raises UserError, which says `name`, for one that is longer
    than LONGEST."""
    number = 0
    while line := file.readline(LONGEST + 1):
        number += 1
        if len(line) > LONGEST:
            raise UserError(longer(f"{name}:{number}: a line"))
        yield line


def longer(what: str) -> str:
    """The message for something that is longer than LONGEST."""
    return f"{what} has more than {LONGEST >> 20} MiB, which no example has; shorten or remove it"
