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
NICE = 10
PAGE = Path("report") / "index.html"


@dataclass
class Report:
    """Of one study."""

    folder: Path
    """The study's."""
    scratch: Path
    """For mirrors; the server's own."""
    every: float = EVERY
    error: str | None = None
    """Why the last drawing failed."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _begun: float = field(default=float("-inf"), init=False)
    _drawing: int = field(default=-1, init=False)
    _shows: int = field(default=-1, init=False)
    """Finished trials that the page drawn here has; -1 before there is one."""

    @property
    def page(self) -> Path | None:
        """The page that is newest: the one drawn here, or the study's own."""
        pages = [page for page in (self._mirror / PAGE, self.folder / PAGE) if page.is_file()]
        return max(pages, key=lambda page: page.stat().st_mtime, default=None)

    @property
    def stamp(self) -> float | None:
        """When the page was drawn; seconds since the epoch."""
        return self.page.stat().st_mtime if self.page else None

    @property
    def drawing(self) -> bool:
        return self._process is not None

    def look(self, finished: int) -> None:
        """Takes up what has been drawn; begins anew when more trials have `finished` than it shows."""
        if self._process is not None:
            if (code := self._process.poll()) is None:
                return
            self._process = None
            self._shows = self._drawing
            self.error = f"the report could not be drawn: {last_line(self._log)}" if code else None
        due = time.monotonic() - self._begun >= self.every
        if finished and finished != self._shows and due and not self._up_to_date():
            self._begin(finished)

    def end(self) -> None:
        """Ends a drawing that goes on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _begin(self, finished: int) -> None:
        self._begun, self._drawing = time.monotonic(), finished
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
