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
from pathlib import Path
from typing import IO, Any

from optuna.storages.journal import JournalFileBackend

from limo_ablate.core.errors import UserError
from limo_ablate.core.files import open_plain
from limo_ablate.core.project import command
from limo_ablate.sweep.ledger.flock import flock

PATIENCE = 120.0
"""Seconds to wait for a ledger that is locked, or a database that is unreachable."""
LAST_BYTES = 65536
"""Bytes at the end in which the last line is looked for."""
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
        open_plain(path, "rb" if path.exists() else "ab").close()
        super().__init__(str(path))
        self._path, self._patience, self._pause = path, patience, pause
        self._mutex = threading.RLock()
        self._open: IO[bytes] | None = None

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        """Raises UserError for a line that can't be read."""
        try:
            yield from super().read_logs(log_number_from)
        except ValueError as error:
            raise self._damaged() from error

    def _damaged(self) -> UserError:
        line = 1 + readable_lines(self._path.read_bytes())
        repair = command("repair", str(self._path.parent))
        return UserError(
            f"{self._path}: line {line} can't be read; `{repair}` sets the file aside and loses no result"
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """No one else writes meanwhile, and at its end everything is on disk. May be nested.

        Raises TimeoutError when another process holds the journal for longer than the patience.
        """
        with self._mutex:
            if self._open is not None:
                yield
                return
            with open_plain(self._path, "r+b") as file:
                self._wait_for(file)
                if not _ends_well(file):
                    raise self._damaged()
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

    def _wait_for(self, file: IO[bytes]) -> None:
        deadline, pause = time.monotonic() + self._patience, _SHORT
        while not flock(file, self._path):
            if time.monotonic() > deadline:
                raise TimeoutError(f"another process has held it for {self._patience:g} s")
            self._pause(pause)
            pause = min(2 * pause, _LONG)


def readable_lines(content: bytes) -> int:
    """Number of lines before the first that is not a whole line of JSON."""
    count = 0
    for line in content.splitlines(keepends=True):
        try:
            whole = line.endswith(b"\n") and isinstance(json.loads(line), dict)
        except ValueError:
            whole = False
        if not whole:
            break
        count += 1
    return count


def _ends_well(file: IO[bytes]) -> bool:
    """Cuts off an incomplete last line, and leaves the file positioned at its end; False where the last
    complete line is damaged, so that nothing may follow it."""
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return True
    file.seek(-1, os.SEEK_END)
    if file.read(1) != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - LAST_BYTES))
    head, _, last = file.read().removesuffix(b"\n").rpartition(b"\n")
    file.seek(0, os.SEEK_END)
    return not head or readable_lines(last + b"\n") == 1
