"""Reads one study in a thread of its own, so that a slow or broken study does not hold up others."""

from __future__ import annotations

import logging
import math
import threading
import time
from pathlib import Path
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.report.serve.report_process import ReportProcess
from limo_ablate.report.serve.study_reader import StudyReader

log = logging.getLogger(__name__)

QUIET = 60.0
"""Seconds until an unchanged study is read again."""
LONGEST = 30.0
"""Maximum number of seconds between two attempts to read a study that can't be read."""
SLOW = 20.0
"""Seconds after which a slow update is reported."""
UNREAD = "reading the study for the first time"


class StudyWatcher:
    """Once started, reads the study every `pace` seconds while `active` is set."""

    def __init__(self, folder: Path, report: ReportProcess, active: threading.Event, pace: float) -> None:
        self.folder, self.report = folder, report
        self.looked = float("-inf")
        """Start of the last completed update, by time.monotonic() as all times here."""
        self.opened = float("-inf")
        """When its page was last requested."""
        self.error: str | None = UNREAD
        """Why the study could not be read; None if it could."""
        self._looking: float | None = None
        """Start of the update in progress."""
        self._facts: dict[str, Any] = {"study": folder.name}
        self._live: StudyReader | None = None
        self._state: tuple[Any, ...] = ()
        self._read = float("-inf")
        self._fails = 0
        self._active, self._pace, self._ended = active, pace, threading.Event()
        self._thread = threading.Thread(target=self._run, name=folder.name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ended.set()

    def join(self, timeout: float) -> None:
        """Waits for the update in progress."""
        self._thread.join(timeout)

    @property
    def finished(self) -> int:
        """Number of finished trials as of the last update."""
        finished: int = self._facts.get("finished_trials", 0)
        return finished

    @property
    def failing(self) -> bool:
        """Whether the last update failed, so that the next one may be delayed."""
        return self._fails > 0

    def facts(self) -> dict[str, Any]:
        """The facts as of the last successful update, and errors since."""
        report = self.report
        report_state = {"stamp": report.stamp, "drawing": report.drawing, "error": report.error}
        error = self.error or self._slow()
        facts = {**self._facts, "report": report_state, "at": time.time()}
        return {**facts, "error": error} if error else facts

    def _slow(self) -> str | None:
        since = time.monotonic() - (self._looking or math.inf)
        return f"reading the study is slow: {since:.0f} s so far" if since > SLOW else None

    def update(self) -> None:
        """Updates the facts. Never raises: errors are shown in the study's place."""
        begun = self._looking = time.monotonic()
        try:
            self._facts = self._facts_now()
            self.error, self._fails = None, 0
        except Exception as error:  # being written, of an older version, or unreachable
            log.debug("%s", self.folder, exc_info=True)
            known = isinstance(error, UserError)
            self.error = f"{error}" if known else f"{type(error).__name__}: {error}"
            self._state, self._fails = (), self._fails + 1
        self.looked, self._looking = begun, None

    def _facts_now(self) -> dict[str, Any]:
        if self._live is None or self._live.outdated:
            self._live = StudyReader(self.folder)
        state = self._live.state()
        if state == self._state and time.monotonic() - self._read < QUIET:
            return self._facts
        facts = self._live.facts()
        self._state, self._read = state, time.monotonic()
        return facts

    def _run(self) -> None:
        while not self._ended.is_set():
            self._active.wait()
            self.update()
            self._ended.wait(min(max(self._pace, LONGEST), self._pace * 2.0 ** min(self._fails, 10)))
