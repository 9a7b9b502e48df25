"""The journal: Optuna's file with one JSON line for each change, under a lock that can't outlive its holder.

Optuna's own lock is a file that kill -9 leaves behind, and for which others then wait 30 s. Here the journal
itself is locked (flock), and the kernel frees that lock. Whoever gets it first drops a torn last line, left
by a crash in the middle of a write, which Optuna would tolerate only until the next append. A transaction is
one lock and one fsync, however much it writes.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend

from limo_ablate.sweep.ledger.flock import flock

PATIENCE = 120.0
"""Seconds to wait for a ledger that is locked, or a database that is unreachable."""
_SHORT, _LONG = 0.0005, 0.05
"""Shortest and longest pause, in seconds, between attempts to lock."""


class Journal(JournalFileBackend):
    """Reads as Optuna's backend does; writes in a `transaction()`, which a single append opens for itself.

    Threads that share a journal must open a transaction before they call Optuna's storage, to take its lock
    second.
    """

    def __init__(
        self, path: Path, patience: float = PATIENCE, pause: Callable[[float], None] = time.sleep
    ) -> None:
        """`pause` waits for the given seconds, and may raise to end the waiting."""
        super().__init__(str(path))
        self._path, self._patience, self._pause = path, patience, pause
        self._mutex = threading.RLock()
        self._open: BufferedRandom | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """No one else writes meanwhile, and at its end everything is on disk. May be nested.

        Raises TimeoutError when another process holds the journal for longer than the patience.
        """
        with self._mutex:
            if self._open is not None:
                yield
                return
            with self._path.open("r+b") as file:
                self._wait_for(file)
                _drop_torn_line(file)
                self._open, begun = file, file.tell()
                try:
                    yield
                finally:
                    self._open = None
                    if file.tell() > begun:
                        os.fsync(file.fileno())

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with self.transaction():
            assert self._open is not None
            self._open.write("".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode())
            self._open.flush()

    def _wait_for(self, file: BufferedRandom) -> None:
        deadline, pause = time.monotonic() + self._patience, _SHORT
        while not flock(file, self._path):
            if time.monotonic() > deadline:
                raise TimeoutError(f"another process has held it for {self._patience:g} s")
            self._pause(pause)
            pause = min(2 * pause, _LONG)


def _drop_torn_line(file: BufferedRandom) -> None:
    """Cuts off an incomplete last line; leaves the file positioned at its end."""
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return
    file.seek(-1, os.SEEK_END)
    if file.read(1) == b"\n":
        return
    file.seek(0)
    file.truncate(file.read().rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)
