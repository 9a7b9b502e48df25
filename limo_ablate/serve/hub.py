"""All studies as of the last look: one thread reads them while somebody watches, no page waits for it."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from limo_ablate.errors import UserError
from limo_ablate.serve.drawn import EVERY, Report, clear
from limo_ablate.serve.live import Live

log = logging.getLogger(__name__)

PACE = 2.0
"""Seconds between two looks."""
WATCHED = 15.0
"""Seconds after the last question that studies are still looked at."""
QUIET = 60.0
"""Seconds until a study in which nothing can have changed is looked at again."""
DETAILS = ("running", "failed", "results", "runners")
"""Facts of a study that only its own page shows."""


@dataclass
class _Watched:
    report: Report
    live: Live | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    seen: tuple[Any, ...] = ()
    looked: float = float("-inf")


class Hub:
    """Use as a context: the thread and what it has started end with it."""

    def __init__(
        self, folders: Callable[[], list[Path]], *, pace: float = PACE, every: float = EVERY
    ) -> None:
        """`folders`: the studies that there are now. `every`: seconds between two drawings of a report."""
        self._folders, self._pace, self._every = folders, pace, every
        self._scratch = Path(tempfile.mkdtemp(prefix="limo-ablate-view-"))
        self._watched: dict[str, _Watched] = {}
        self._asked, self._looked = threading.Event(), threading.Event()
        self._ended = threading.Event()
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="hub", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._asked.set()
        self._thread.join(timeout=10 * self._pace)
        for watched in self._watched.values():
            watched.report.end()
        clear(self._scratch)

    def studies(self) -> list[dict[str, Any]]:
        """What the list of all studies shows of each, by name."""
        self._ask()
        known = [watched.facts for _, watched in sorted(self._watched.items()) if watched.facts]
        return [{key: value for key, value in facts.items() if key not in DETAILS} for facts in known]

    def study(self, name: str) -> dict[str, Any] | None:
        """The facts of a study; None when there is none of that name."""
        self._ask()
        watched = self._watched.get(name)
        return watched.facts if watched and watched.facts else None

    def page(self, name: str) -> Path | None:
        """The newest report of a study."""
        watched = self._watched.get(name)
        return watched.report.page if watched else None

    def _ask(self) -> None:
        """Somebody watches; who comes first, or after a while, waits for a look."""
        if time.monotonic() - self._last > WATCHED:
            self._looked.clear()
        self._last = time.monotonic()
        self._asked.set()
        self._looked.wait(timeout=60)

    def _run(self) -> None:
        while not self._ended.is_set():
            if time.monotonic() - self._last > WATCHED:
                self._asked.clear()
                self._asked.wait()
            self._look_at_all()
            self._looked.set()
            self._ended.wait(self._pace)

    def _look_at_all(self) -> None:
        found = {folder.name: folder for folder in self._folders()}
        for name in self._watched.keys() - found.keys():
            self._watched.pop(name).report.end()
        for name, folder in found.items():
            if name not in self._watched:
                new = _Watched(Report(folder, self._scratch, self._every))
                self._watched = {**self._watched, name: new}  # others read it
            self._look(self._watched[name], folder)

    def _look(self, watched: _Watched, folder: Path) -> None:
        seen = _state(folder)
        quiet = seen == watched.seen and time.monotonic() - watched.looked < QUIET
        try:
            if watched.live is None or watched.live.outdated:
                watched.live = Live(folder)
            facts = watched.facts if quiet else watched.live.facts()
        except (UserError, OSError, ValueError, KeyError) as error:  # being written, or of an earlier form
            log.debug("%s", folder, exc_info=True)
            watched.facts = {"study": folder.name, "error": f"{error}"}
            return
        if not quiet:
            watched.looked, watched.seen = time.monotonic(), seen
        watched.report.look(facts["finished_cells"])
        report = watched.report
        told = {"stamp": report.stamp, "drawing": report.drawing, "error": report.error}
        watched.facts = {**facts, "report": told, "at": time.time()}


def _state(folder: Path) -> tuple[Any, ...]:
    """Changes with all that the facts come from; never the same twice while a runner is there."""
    files = [folder / "study.yaml", folder / "ledger.log"]
    if any((folder / "runners").glob("*.json")) or not files[1].exists():
        return (object(),)
    stats = [file.stat() for file in files]
    return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)
