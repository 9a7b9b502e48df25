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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalStorage
from optuna.storages.journal._storage import JournalOperation, JournalStorageReplayResult
from optuna.trial import TrialState

from limo_ablate.core.errors import UserError
from limo_ablate.core.files import open_plain
from limo_ablate.core.project import command
from limo_ablate.core.reading import parse_json
from limo_ablate.sweep.ledger.attributes import check_attributes
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
        except (ValueError, RecursionError) as error:
            raise self.damaged() from error

    def damaged(self) -> UserError:
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
                    raise self.damaged()
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


class _Replay(JournalStorageReplayResult):
    """The state that a journal describes. A line of another process that can't be applied is damaged."""

    def __init__(self, worker_id_prefix: str, damaged: Callable[[], UserError]) -> None:
        super().__init__(worker_id_prefix)
        self._damaged = damaged

    def apply_logs(self, logs: Iterable[dict[str, Any]]) -> None:
        for log in logs:
            try:
                for name in {"user_attr", "user_attrs"} & log.keys():
                    check_attributes(log[name], "")
                super().apply_logs([log])
                self._check_start(log)
            except Exception as error:
                if isinstance(log, dict) and log.get("worker_id") == self.worker_id:
                    raise
                raise self._damaged() from error

    def _check_start(self, log: dict[str, Any]) -> None:
        """Optuna takes a row that runs since no time."""
        newest = self._trials.get(len(self._trials) - 1)
        if log["op_code"] != JournalOperation.CREATE_TRIAL or newest is None:
            return
        if newest.state == TrialState.RUNNING and newest.datetime_start is None:
            raise ValueError("a row that runs has no start")


def journal_storage(journal: Journal) -> JournalStorage:
    """Optuna's storage of the journal, which raises UserError for a line that it can't apply."""
    storage = JournalStorage(_Empty())
    storage._backend = journal
    storage._replay_result = _Replay(storage._worker_id_prefix, journal.damaged)
    storage._sync_with_backend()
    return storage


class _Empty(BaseJournalBackend):
    """What Optuna opens before it is given the journal: it replays what it opens, and appends nothing."""

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        return []

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise NotImplementedError


def readable_lines(content: bytes) -> int:
    """Number of lines before the first that is torn, no JSON, or can't be applied."""
    state, lines = _Replay("", UserError), content.splitlines(keepends=True)
    for count, line in enumerate(lines):
        try:
            state.apply_logs([_parsed(line)])
        except UserError:
            return count
    return len(lines)


def _parsed(line: bytes) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise UserError("a torn line")
    found: dict[str, Any] = parse_json(line, "")
    return found


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
    try:
        return not head or bool(_parsed(last + b"\n"))
    except UserError:
        return False
