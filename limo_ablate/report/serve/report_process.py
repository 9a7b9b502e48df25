"""Draws the report of a running study in a separate process, so that no page waits for it.

It is written to a folder of the server, so that nothing is written into the study, and a sweep that draws its
own report is not disturbed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from limo_ablate.core.errors import EXIT_TRIALS_FAILED
from limo_ablate.core.python import environment, python
from limo_ablate.study.folder import REPORT
from limo_ablate.sweep.live import last_line

EVERY = 30.0
"""Minimum number of seconds between the starts of two drawings of a study."""
LONGEST = 600.0
"""Maximum of this pause after failures, each of which doubles it."""
LIMIT = 1800.0
"""Seconds after which a drawing is killed, as others wait for it."""
NICE = 10
INDEX = "index.html"
PAGE = Path(REPORT) / INDEX


@dataclass
class ReportProcess:
    """The report of one study, and the process that draws it."""

    folder: Path
    """The study's folder."""
    scratch: Path
    """The server's folder for the reports that it draws."""
    every: float = EVERY
    error: str | None = None
    """Why the last drawing failed."""
    stamp: float | None = field(default=None, init=False)
    """When the page was drawn, as of the last `poll`; seconds since the epoch."""
    begun: float = field(default=float("-inf"), init=False)
    """When the last drawing started, by time.monotonic()."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _fails: int = field(default=0, init=False)
    """Number of consecutive failures."""
    _drawing: int = field(default=-1, init=False)
    _shows: int = field(default=-1, init=False)
    """Number of finished trials in the page drawn here; -1 before there is one."""

    @property
    def page(self) -> Path | None:
        """The newest page: the one drawn here or the study's own; None if there is none."""
        pages = [page for page in (self._drawn / INDEX, self.folder / PAGE) if page.is_file()]
        return max(pages, key=lambda page: page.stat().st_mtime, default=None)

    @property
    def drawing(self) -> bool:
        return self._process is not None

    def poll(self, finished: int) -> None:
        """Collects a finished drawing, and starts one if the page does not show all `finished` trials (0:
        never).

        Never raises: `error` holds what went wrong.
        """
        try:
            self._take_up()
            page = self.page
            self.stamp = page.stat().st_mtime if page else None
            if finished and finished != self._shows and self._due:
                self._draw(finished)
        except Exception as error:  # a full disk, an unreachable folder, no new process
            self._failed(f"{error}")

    def end(self) -> None:
        """Kills a drawing in progress."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _take_up(self) -> None:
        if self._process is None:
            return
        code = self._process.poll()
        if code is None and time.monotonic() - self.begun < LIMIT:
            return
        self.end()
        self._process = None
        if code is None:
            self._failed(f"it took longer than {LIMIT:g} s")
        elif code not in (0, EXIT_TRIALS_FAILED):  # with 3, the page says which of its parts failed
            self._failed(last_line(self._log) or f"exit code {code}")
        else:
            self._shows, self._fails, self.error = self._drawing, 0, None

    def _failed(self, why: str) -> None:
        self.begun, self._fails = time.monotonic(), self._fails + 1
        self.error = f"the report could not be drawn: {why}"

    @property
    def _due(self) -> bool:
        pause = min(max(self.every, LONGEST), self.every * 2.0 ** min(self._fails, 20))
        return self._process is None and time.monotonic() - self.begun >= pause

    def _draw(self, finished: int) -> None:
        if self._up_to_date():
            self._fails, self.error = 0, None
        else:
            self._begin(finished)

    def _begin(self, finished: int) -> None:
        self.begun, self._drawing = time.monotonic(), finished
        self.scratch.mkdir(parents=True, exist_ok=True)
        if not (self._drawn / INDEX).is_file():
            shutil.rmtree(self._drawn, ignore_errors=True)  # a drawing that was killed
        command = python("-m", "limo_ablate", "report", str(self.folder.absolute()), "--to", str(self._drawn))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(POLARS_MAX_THREADS="1"),
            )
        os.setpriority(os.PRIO_PROCESS, self._process.pid, NICE)

    def _up_to_date(self) -> bool:
        """Whether the newest page is newer than all results."""
        if self.stamp is None:
            return False
        sources = [self.folder / "cells.json", *self.folder.glob("trials/*/metrics.json")]
        return all(source.stat().st_mtime <= self.stamp for source in sources if source.exists())

    @property
    def _drawn(self) -> Path:
        return self.scratch / self.folder.name

    @property
    def _log(self) -> Path:
        return self.scratch / f"{self.folder.name}.log"


def clear(scratch: Path) -> None:
    """Removes the reports that were drawn."""
    shutil.rmtree(scratch, ignore_errors=True)
