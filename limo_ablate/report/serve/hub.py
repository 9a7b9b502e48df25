"""State of all studies as of their last update. They are read while a browser asks; pages never wait long."""

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
"""Seconds between two updates."""
WATCHED = 15.0
"""Seconds after the last request during which studies are still read and reports drawn."""
FIRST = 2.0
"""Maximum number of seconds that the first request after a while waits for an update."""
DETAILS = ("running", "failed", "results", "runners")
"""Facts that only a study's own page shows."""


class Hub:
    """Context manager; ends what it has started on exit.

    A thread for each study reads it; another lists the studies and has reports drawn.
    """

    def __init__(
        self, folders: Callable[[], list[Path]], *, pace: float = PACE, every: float = EVERY
    ) -> None:
        """`folders` lists the current studies; `every`: seconds between two drawings of a report."""
        self._folders, self._pace, self._every = folders, pace, every
        self._scratch = Path(tempfile.mkdtemp(prefix="limo-ablate-view-"))
        self._watched: dict[str, StudyWatcher] = {}
        self._active, self._ended = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._last = self._woken = self._listed = float("-inf")
        self._error: str | None = None
        self._thread = threading.Thread(target=self._run, name="hub", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._ended.set()
            self._active.set()
        deadline = time.monotonic() + 2 * PACE
        self._thread.join(PACE)
        for watched in self._watched.values():
            watched.end()
        for watched in self._watched.values():
            watched.join(max(0.0, deadline - time.monotonic()))
            watched.report.end()
        clear(self._scratch)

    def studies(self) -> list[dict[str, Any]]:
        """Facts of all studies for the overview, by name. Raises UserError while they can't be listed."""
        self._note_request()
        self._wait(lambda: all(map(self._fresh, self._watched.values())))
        if self._error:
            raise UserError(self._error)
        all_facts = [watched.facts() for _, watched in sorted(self._watched.items())]
        return [{key: value for key, value in facts.items() if key not in DETAILS} for facts in all_facts]

    def study(self, name: str) -> dict[str, Any] | None:
        """The facts of a study; None if there is no study of that name."""
        if (watched := self._find(name)) is None:
            return None
        self._wait(lambda: self._fresh(watched))
        return watched.facts()

    def page(self, name: str) -> Path | None:
        """The newest report of a study."""
        watched = self._find(name)
        return watched.report.page if watched else None

    def _find(self, name: str) -> StudyWatcher | None:
        self._note_request()
        if watched := self._watched.get(name):
            watched.opened = time.monotonic()
        return watched

    def _note_request(self) -> None:
        """Records a request, and waits until the studies have been listed."""
        with self._lock:
            now = time.monotonic()
            if now - self._last > WATCHED:
                self._woken = now
            self._last = now
            self._active.set()
        self._wait(lambda: self._listed >= self._woken)

    def _fresh(self, watched: StudyWatcher) -> bool:
        """Whether there is nothing to wait for: an update since pages were last opened, or a failed one."""
        return watched.looked >= self._woken or watched.failing

    def _wait(self, ready: Callable[[], bool]) -> None:
        """Waits at most `FIRST` seconds, and not at all while pages are open: they get what is known."""
        while not ready() and time.monotonic() < self._woken + FIRST and not self._ended.is_set():
            time.sleep(0.02)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._active.wait()
            begun = time.monotonic()
            self._list()
            self._listed = begun
            self._draw()
            self._ended.wait(self._pace)
            with self._lock:
                if time.monotonic() - self._last > WATCHED and not self._ended.is_set():
                    self._active.clear()

    def _list(self) -> None:
        """Updates the list of studies; keeps the old one if they can't be listed."""
        try:
            current = {folder.name: folder for folder in self._folders()}
            for name in self._watched.keys() - current.keys():
                self._forget(name)
            for name in current.keys() - self._watched.keys():
                self._watch(current[name])
            self._error = None
        except Exception as error:  # an unreachable file system, no new thread
            self._error = f"the studies can't be listed: {error}"

    def _watch(self, folder: Path) -> None:
        watched = StudyWatcher(
            folder, ReportProcess(folder, self._scratch, self._every), self._active, self._pace
        )
        watched.start()
        self._watched = {
            **self._watched,
            folder.name: watched,
        }  # replaced, not changed: other threads read it

    def _forget(self, name: str) -> None:
        gone = self._watched[name]
        self._watched = {known: watched for known, watched in self._watched.items() if known != name}
        gone.end()
        gone.report.end()

    def _draw(self) -> None:
        """Draws one report at a time, the one that has waited longest among those being viewed."""
        reports = [watched.report for watched in self._watched.values()]
        for watched in sorted(self._watched.values(), key=lambda watched: watched.report.begun):
            wanted = time.monotonic() - watched.opened < WATCHED and not self._ended.is_set()
            free = not any(report.drawing for report in reports)
            watched.report.poll(watched.finished if wanted and free else 0)
