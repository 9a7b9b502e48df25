"""How far a trial is: what it tells its runner, in `progress.json` of its folder.

The runner names the file in the environment (`VARIABLE`); without it, as in a trial that no sweep runs,
telling does nothing. The file's time of change says that the trial is alive, its content how far it is.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

PROGRESS = "progress.json"
VARIABLE = "LIMO_ABLATE_PROGRESS"
"""Environment variable: the file's path. Ranks and replicas inherit it, and only say that they live."""
EVERY = 1.0
"""Seconds between two writes of the same stage."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a trial last told."""

    stage: str
    done: int | None
    """Steps, completions or tokens of `total`; null where a stage can't tell."""
    total: int | None
    begun: int
    """What was done when it was first told of in this attempt: a resumed stage does not begin at 0."""
    since: float
    """When the stage began; seconds since the epoch, as is `at`."""
    at: float
    speed: float | None
    """Tokens a second."""

    @property
    def left(self) -> float | None:
        """Seconds until the stage ends, at its pace so far; None when that can't be said."""
        if self.done is None or self.total is None or self.done <= self.begun:
            return None
        return (self.at - self.since) * (self.total - self.done) / (self.done - self.begun)

    def __str__(self) -> str:
        """`weights at 12 of 120`"""
        return self.stage if self.done is None else f"{self.stage} at {self.done} of {self.total}"


_last: Progress | None = None
_touched = 0.0


def tell(stage: str, done: int | None = None, total: int | None = None, speed: float | None = None) -> None:
    """Says how far this trial is; a new stage is written at once, its steps at most once a second."""
    global _last
    path, now = os.environ.get(VARIABLE), time.time()
    if path is None:
        return
    new = _last is None or _last.stage != stage
    if not new and _last is not None and 0 <= now - _last.at < EVERY and done != total:
        return
    if _last is None or new or _last.done is None:
        _last = Progress(stage, done, total, done or 0, now, now, speed)
    else:
        _last = Progress(stage, done, total, _last.begun, _last.since, now, speed)
    with suppress(OSError):  # a full disk is told by what has to be written
        partial = Path(f"{path}.{os.getpid()}")
        partial.write_text(json.dumps(asdict(_last)))
        partial.replace(path)


def alive() -> None:
    """Says that a long step of this trial goes on; cheap enough for every token of a generation."""
    global _touched
    now = time.monotonic()
    if now - _touched < EVERY:
        return
    _touched = now
    if path := os.environ.get(VARIABLE):
        with suppress(OSError):
            os.utime(path)


def read(folder: Path) -> Progress | None:
    """What the trial in `folder` last told; None before it has told anything."""
    try:
        return Progress(**json.loads((folder / PROGRESS).read_text()))
    except (OSError, ValueError, TypeError):
        return None
