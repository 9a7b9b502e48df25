"""One study as of the last look, by a thread of its own: one that is slow, or broken, holds up no other."""

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
"""Seconds until a study in which nothing can have changed is read again."""
LONGEST = 30.0
"""Seconds between two looks at a study that can't be read, at most."""
SLOW = 20.0
"""Seconds that a look may take before that is told."""
UNREAD = "it is being read for the first time"


class StudyWatcher:
    """Looks every `pace` seconds while `asked` is set, once it is started."""

    def __init__(self, folder: Path, report: ReportProcess, asked: threading.Event, pace: float) -> None:
        self.folder, self.report = folder, report
        self.looked = float("-inf")
        """When the last look that has ended began; as all times here by time.monotonic()."""
        self.opened = float("-inf")
        """When its page was last asked for."""
        self.error: str | None = UNREAD
        """Why it could not be read."""
        self._looking: float | None = None
        """When the look that goes on began."""
        self._facts: dict[str, Any] = {"study": folder.name}
        self._live: StudyReader | None = None
        self._state: tuple[Any, ...] = ()
        self._read = float("-inf")
        self._fails = 0
        self._asked, self._pace, self._ended = asked, pace, threading.Event()
        self._thread = threading.Thread(target=self._run, name=folder.name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ended.set()

    def join(self, timeout: float) -> None:
        """Waits until the look that goes on has ended."""
        self._thread.join(timeout)

    @property
    def finished(self) -> int:
        """Trials, as of the last look."""
        finished: int = self._facts.get("finished_cells", 0)
        return finished

    @property
    def failing(self) -> bool:
        """Whether the last look failed, so that the next one may be long in coming."""
        return self._fails > 0

    def facts(self) -> dict[str, Any]:
        """The facts as of the last look that went well, and what went wrong since."""
        report = self.report
        drawn = {"stamp": report.stamp, "drawing": report.drawing, "error": report.error}
        error = self.error or self._slow()
        facts = {**self._facts, "report": drawn, "at": time.time()}
        return {**facts, "error": error} if error else facts

    def _slow(self) -> str | None:
        since = time.monotonic() - (self._looking or math.inf)
        return f"reading it again takes long: {since:.0f} s so far" if since > SLOW else None

    def look(self) -> None:
        """Never raises: what goes wrong is told in the study's place."""
        begun = self._looking = time.monotonic()
        try:
            self._facts = self._facts_now()
            self.error, self._fails = None, 0
        except Exception as error:  # being written, of an earlier form, or out of reach
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
            self._asked.wait()
            self.look()
            self._ended.wait(min(max(self._pace, LONGEST), self._pace * 2.0 ** min(self._fails, 10)))
