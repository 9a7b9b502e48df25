"""Isolates the parts of the report: one that raises is shown as failed in its place; the others are drawn."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from limo_ablate.core.files import write_atomically
from limo_ablate.study.folder import REPORT_ERRORS

T = TypeVar("T")
LONGEST = 300
"""Maximum number of characters of an error's message."""


@dataclass(slots=True)
class PartErrors:
    """Which parts of a report could not be drawn."""

    failed: list[str] = field(default_factory=list)
    """A line for each: the part and its error."""
    _tracebacks: list[str] = field(default_factory=list)

    def isolate(self, part: str, draw: Callable[[], T], failed: Callable[[str], T]) -> T:
        """What `draw` returns; if it raises, what `failed` makes of the error: type and message in a line."""
        try:
            return draw()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of polars is not an Exception
            message = " ".join(f"{type(error).__name__}: {error}".split())
            line = message if len(message) <= LONGEST else f"{message[:LONGEST]} …"
            self.failed.append(f"{part}: {line}")
            self._tracebacks.append(f"{part}\n{traceback.format_exc()}")
            return failed(line)

    def write(self, folder: Path) -> None:
        """Writes the tracebacks beside the page; removes those of an earlier one if there are none."""
        log = folder / REPORT_ERRORS
        if self._tracebacks:
            write_atomically(log, "\n".join(self._tracebacks))
        else:
            log.unlink(missing_ok=True)
