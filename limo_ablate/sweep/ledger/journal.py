"""The journal: Optuna's file of one JSON line for each change, with a lock that cannot outlive its holder.

Optuna's own lock is a file that kill -9 leaves behind, which others then wait for, for 30 s. Here the journal
itself is locked (flock), which the kernel undoes. Whoever gets the lock first drops a torn last line, which a
crash in mid-write leaves: Optuna would read past it only until the next append. A transaction is one lock and
one fsync, whatever it writes.
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
"""Seconds for which a ledger that is locked, or a database that is away, is waited for."""
_SHORT, _LONG = 0.0005, 0.05
"""Seconds between two looks at a lock that is held."""


class Journal(JournalFileBackend):
    """Reads as Optuna's backend does; writes under `transaction()`, which a lone append opens for itself.

    Threads that share one must open it before they call Optuna's storage, whose own lock comes second.
    """

    def __init__(
        self, path: Path, patience: float = PATIENCE, pause: Callable[[float], None] = time.sleep
    ) -> None:
        """`pause` waits for so many seconds; what it raises ends the waiting."""
        super().__init__(str(path))
        self._path, self._patience, self._pause = path, patience, pause
        self._mutex = threading.RLock()
        self._open: BufferedRandom | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Nobody else writes meanwhile, and at its end all of it is on disk. May be nested.

        Raises TimeoutError when someone else holds the journal for longer than the patience.
        """
        with self._mutex:
            if self._open is not None:
                yield
                return
            with self._path.open("r+b") as file:
                self._wait_for(file)
                _mend(file)
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


def _mend(file: BufferedRandom) -> None:
    """Leaves the file at its end, which is the end of a line."""
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return
    file.seek(-1, os.SEEK_END)
    if file.read(1) == b"\n":
        return
    file.seek(0)
    file.truncate(file.read().rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)
