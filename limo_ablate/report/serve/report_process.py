"""Reports of studies that still run, drawn in a process of their own, so that no page waits for them.

A report is drawn in a mirror of the study's folder (links to all that is in it), so nothing in the study is
written, and a sweep that draws its own report at its end is not disturbed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from limo_ablate.sweep.live import last_line

EVERY = 30.0
"""Seconds between the beginnings of two drawings of a study, at least."""
LONGEST = 600.0
"""The same after drawings that failed, at most: each one doubles it."""
LIMIT = 1800.0
"""Seconds that a drawing may take: others wait for it."""
NICE = 10
PAGE = Path("report") / "index.html"


@dataclass
class ReportProcess:
    """Of one study."""

    folder: Path
    """The study's."""
    scratch: Path
    """For mirrors; the server's own."""
    every: float = EVERY
    error: str | None = None
    """Why the last drawing failed."""
    stamp: float | None = field(default=None, init=False)
    """When the page was drawn, as of the last look; seconds since the epoch."""
    begun: float = field(default=float("-inf"), init=False)
    """When the last drawing was begun, by time.monotonic()."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _fails: int = field(default=0, init=False)
    """Drawings in a row that failed."""
    _drawing: int = field(default=-1, init=False)
    _shows: int = field(default=-1, init=False)
    """Finished trials that the page drawn here has; -1 before there is one."""

    @property
    def page(self) -> Path | None:
        """The page that is newest: the one drawn here, or the study's own."""
        pages = [page for page in (self._mirror / PAGE, self.folder / PAGE) if page.is_file()]
        return max(pages, key=lambda page: page.stat().st_mtime, default=None)

    @property
    def drawing(self) -> bool:
        return self._process is not None

    def look(self, finished: int) -> None:
        """Takes up what has been drawn; begins anew when others have `finished` than it shows, 0 never.

        Never raises: `error` says what went wrong.
        """
        try:
            self._take_up()
            page = self.page
            self.stamp = page.stat().st_mtime if page else None
            if finished and finished != self._shows and self._due:
                self._draw(finished)
        except Exception as error:  # a full disk, a folder that is away, no process to be had
            self._failed(f"{error}")

    def end(self) -> None:
        """Ends a drawing that goes on."""
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
        elif code:
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
        self._mirror.mkdir(parents=True, exist_ok=True)
        for entry in self.folder.iterdir():
            link = self._mirror / entry.name
            if entry.name != "report" and not link.exists():
                link.unlink(missing_ok=True)  # one that leads nowhere any more
                link.symlink_to(entry.absolute())
        command = [sys.executable, "-m", "limo_ablate", "report", str(self._mirror)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "POLARS_MAX_THREADS": "1"},
            )
        os.setpriority(os.PRIO_PROCESS, self._process.pid, NICE)

    def _up_to_date(self) -> bool:
        """Whether the newest page has all results."""
        if self.stamp is None:
            return False
        sources = [self.folder / "cells.json", *self.folder.glob("trials/*/metrics.json")]
        return all(source.stat().st_mtime <= self.stamp for source in sources if source.exists())

    @property
    def _mirror(self) -> Path:
        return self.scratch / self.folder.name

    @property
    def _log(self) -> Path:
        return self.scratch / f"{self.folder.name}.log"


def clear(scratch: Path) -> None:
    """Removes the mirrors; what their links lead to stays."""
    shutil.rmtree(scratch, ignore_errors=True)
