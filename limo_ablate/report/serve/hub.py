"""All studies as of the last look at each: read while somebody watches, and no page waits for long."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from limo_ablate.core.errors import UserError
from limo_ablate.report.serve.report_process import EVERY, ReportProcess, clear
from limo_ablate.report.serve.study_watcher import StudyWatcher

PACE = 2.0
"""Seconds between two looks."""
WATCHED = 15.0
"""Seconds after the last question that studies are still looked at, and a study's report is drawn."""
FIRST = 2.0
"""Seconds that who comes first, or after a while, waits for a look, at most."""
DETAILS = ("running", "failed", "results", "runners")
"""Facts of a study that only its own page shows."""


class Hub:
    """Use as a context: what it has started ends with it.

    A thread for each study reads it; one more sees which studies there are, and has reports drawn.
    """

    def __init__(
        self, folders: Callable[[], list[Path]], *, pace: float = PACE, every: float = EVERY
    ) -> None:
        """`folders`: the studies that there are now. `every`: seconds between two drawings of a report."""
        self._folders, self._pace, self._every = folders, pace, every
        self._scratch = Path(tempfile.mkdtemp(prefix="limo-ablate-view-"))
        self._watched: dict[str, StudyWatcher] = {}
        self._asked, self._ended = threading.Event(), threading.Event()
        self._asking = threading.Lock()
        self._last = self._woken = self._listed = float("-inf")
        self._error: str | None = None
        self._thread = threading.Thread(target=self._run, name="hub", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._asking:
            self._ended.set()
            self._asked.set()
        deadline = time.monotonic() + 2 * PACE
        self._thread.join(PACE)
        for watched in self._watched.values():
            watched.end()
        for watched in self._watched.values():
            watched.join(max(0.0, deadline - time.monotonic()))
            watched.report.end()
        clear(self._scratch)

    def studies(self) -> list[dict[str, Any]]:
        """What the list shows of each study, by name. Raises UserError while they can't be listed."""
        self._ask()
        self._wait(lambda: all(map(self._fresh, self._watched.values())))
        if self._error:
            raise UserError(self._error)
        told = [watched.facts() for _, watched in sorted(self._watched.items())]
        return [{key: value for key, value in facts.items() if key not in DETAILS} for facts in told]

    def study(self, name: str) -> dict[str, Any] | None:
        """The facts of a study; None when there is none of that name."""
        if (watched := self._find(name)) is None:
            return None
        self._wait(lambda: self._fresh(watched))
        return watched.facts()

    def page(self, name: str) -> Path | None:
        """The newest report of a study."""
        watched = self._find(name)
        return watched.report.page if watched else None

    def _find(self, name: str) -> StudyWatcher | None:
        self._ask()
        if watched := self._watched.get(name):
            watched.opened = time.monotonic()
        return watched

    def _ask(self) -> None:
        """Somebody watches; afterwards it is known which studies there are."""
        with self._asking:
            now = time.monotonic()
            if now - self._last > WATCHED:
                self._woken = now
            self._last = now
            self._asked.set()
        self._wait(lambda: self._listed >= self._woken)

    def _fresh(self, watched: StudyWatcher) -> bool:
        """Whether there is nothing to wait for: a look since somebody began to watch, or one that failed."""
        return watched.looked >= self._woken or watched.failing

    def _wait(self, ready: Callable[[], bool]) -> None:
        """Not at all while somebody watches: what is known is answered at once."""
        while not ready() and time.monotonic() < self._woken + FIRST and not self._ended.is_set():
            time.sleep(0.02)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._asked.wait()
            begun = time.monotonic()
            self._list()
            self._listed = begun
            self._draw()
            self._ended.wait(self._pace)
            with self._asking:
                if time.monotonic() - self._last > WATCHED and not self._ended.is_set():
                    self._asked.clear()

    def _list(self) -> None:
        """Keeps what it knows while the studies can't be listed."""
        try:
            found = {folder.name: folder for folder in self._folders()}
            for name in self._watched.keys() - found.keys():
                self._forget(name)
            for name in found.keys() - self._watched.keys():
                self._watch(found[name])
            self._error = None
        except Exception as error:  # a file system that is away, no thread to be had
            self._error = f"the studies can't be listed: {error}"

    def _watch(self, folder: Path) -> None:
        watched = StudyWatcher(
            folder, ReportProcess(folder, self._scratch, self._every), self._asked, self._pace
        )
        watched.start()
        self._watched = {**self._watched, folder.name: watched}  # others read it

    def _forget(self, name: str) -> None:
        gone = self._watched[name]
        self._watched = {known: watched for known, watched in self._watched.items() if known != name}
        gone.end()
        gone.report.end()

    def _draw(self) -> None:
        """One report at a time, the one that has waited longest, of those that somebody looks at."""
        reports = [watched.report for watched in self._watched.values()]
        for watched in sorted(self._watched.values(), key=lambda watched: watched.report.begun):
            wanted = time.monotonic() - watched.opened < WATCHED and not self._ended.is_set()
            free = not any(report.drawing for report in reports)
            watched.report.look(watched.finished if wanted and free else 0)
