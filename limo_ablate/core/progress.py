"""Progress of a trial, reported to its runner in `progress.json` of the trial's folder.

The runner passes the file's path in the environment (`PROGRESS_VARIABLE`); without it, as in a trial outside
a sweep, progress is logged instead. The file's modification time shows that the trial is alive.
"""

from __future__ import annotations

import json
import logging
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from limo_ablate.core.errors import UserError
from limo_ablate.core.reading import read_json

PROGRESS = "progress.json"
PROGRESS_VARIABLE = "LIMO_ABLATE_PROGRESS"
"""Environment variable with the file's path. Ranks and replicas inherit it, but only call `keep_alive`."""
WRITE_INTERVAL = 1.0
"""Least number of seconds between two writes in the same stage."""
LOG_INTERVAL = 5.0
"""The same for lines of the log, outside a sweep."""
UNITS = {"base": "tokens", "weights": "steps"}
"""What these stages count."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress as a trial last reported it."""

    stage: str
    done: int | None
    """Steps, completions or tokens of `total` so far; None for a stage that does not count."""
    total: int | None
    begun: int
    """`done` at the first report of this attempt: a resumed stage does not begin at 0."""
    since: float
    """When the stage began, in seconds since the epoch."""
    at: float
    """When this was reported, in seconds since the epoch."""
    speed: float | None
    """Tokens per second."""

    @property
    def left(self) -> float | None:
        """Estimated seconds until the stage ends, at its speed so far; None while that is unknown."""
        if self.done is None or self.total is None or self.done <= self.begun:
            return None
        return (self.at - self.since) * (self.total - self.done) / (self.done - self.begun)

    def __str__(self) -> str:
        """`weights at 12 of 120 steps`"""
        if self.done is None:
            return self.stage
        return f"{self.stage} at {self.done} of {self.total} {UNITS.get(self.stage, '')}".rstrip()


_last: Progress | None = None
_touched = 0.0


def report_progress(
    stage: str, done: int | None = None, total: int | None = None, speed: float | None = None
) -> None:
    """Writes, or outside a sweep logs, how far this trial is: a new stage at once, progress within a stage
    at most once in an interval."""
    global _last
    path, now = os.environ.get(PROGRESS_VARIABLE), time.time()
    interval = LOG_INTERVAL if path is None else WRITE_INTERVAL
    new = _last is None or _last.stage != stage
    if not new and _last is not None and 0 <= now - _last.at < interval and done != total:
        return
    if _last is None or new or _last.done is None:
        _last = Progress(stage, done, total, done or 0, now, now, speed)
    else:
        _last = Progress(stage, done, total, _last.begun, _last.since, now, speed)
    if path is None:
        left = f", about {_last.left:.0f} s left" if _last.left else ""
        log.info("%s%s%s", "stage " if done is None else "", _last, left)
        return
    with suppress(OSError):  # if the disk is full, the trial's own files will report it
        partial = Path(f"{path}.{os.getpid()}")
        partial.write_text(json.dumps(asdict(_last)))
        partial.replace(path)


def keep_alive() -> None:
    """Shows that a long step of this trial is still running; cheap enough to call for every token."""
    global _touched
    now = time.monotonic()
    if now - _touched < WRITE_INTERVAL:
        return
    _touched = now
    if path := os.environ.get(PROGRESS_VARIABLE):
        with suppress(OSError):
            os.utime(path)


def read_progress(folder: Path) -> Progress | None:
    """The progress that the trial in `folder` last reported; None before its first report."""
    try:
        found: Progress = read_json(folder / PROGRESS, Progress)
    except (OSError, UserError):
        return None
    return found
