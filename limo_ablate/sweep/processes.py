"""Who runs a study: one coordinator by a lock; and which processes are a runner's: by a mark they inherit.

The kernel frees the lock when its holder dies, kill -9 included. The mark is inherited by everything a
trial starts, whatever session or parent it has, and is found in /proc.
"""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Self

from limo_ablate.core.errors import UserError
from limo_ablate.sweep.ledger.flock import flock

MARK = "LIMO_ABLATE_RUNNER"
"""Environment variable: the id of the runner that a process works for."""
JOB_MARK = "LIMO_ABLATE_JOB"
"""The same for one job of it. Only what a job starts has it in /proc: the job itself is a fork."""
LEAVING = 2.0
"""Seconds for which one who leaves waits for a ledger that is locked or away: what is not told there is found
out by the next runner."""
GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL: enough to write a small checkpoint, short for someone who waits."""


@contextmanager
def coordinator(folder: Path) -> Iterator[None]:
    """Holds the study in `folder`. Raises UserError, with the holder's pid, while another process does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (path := folder / "coordinator.lock").open("a+") as lock:
        if not flock(lock, path):
            lock.seek(0)
            raise UserError(
                f"{folder}: a sweep is already running here ({lock.read().strip()}); wait for it or stop it"
            )
        lock.truncate(0)
        lock.write(f"pid {os.getpid()}")
        lock.flush()
        yield


def holder(folder: Path) -> str | None:
    """`pid 123`: who runs the study in `folder` now."""
    path = folder / "coordinator.lock"
    if not path.exists():
        return None
    with path.open() as lock:
        return None if flock(lock, path, fcntl.LOCK_SH) else lock.read().strip()


def marked(mark: str, variable: str = MARK) -> list[int]:
    """Ids of the live processes that started with `variable=mark` in their environment.

    Not this one, and not its children: the fork server and its tracker end with it by themselves.
    """
    entry = f"{variable}={mark}".encode()
    return [pid for pid in _pids() if entry in _environment(pid) and _foreign(pid)]


def end(mark: str, grace: float = GRACE, variable: str = MARK) -> int:
    """Ends all marked processes: SIGTERM, `grace` seconds, SIGKILL; returns how many there were."""
    found = marked(mark, variable)
    for number, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, GRACE)):
        for pid in marked(mark, variable) if wait else ():
            _signal(pid, number)
        deadline = time.monotonic() + wait
        while found and marked(mark, variable) and time.monotonic() < deadline:
            time.sleep(0.02)
    return len(found)


def end_group(group: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Signals a process group; one that is gone is fine."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


class Interrupts:
    """Ctrl-C, SIGTERM and a closed terminal raise KeyboardInterrupt, but only inside `window()`.

    Elsewhere they wait for the next window: an exception in the middle of a write would tear the ledger,
    and one in the middle of cleaning up would leave processes behind. Use as a context.
    """

    def __init__(self) -> None:
        self._pending = self._open = False
        self._left: float | None = None
        """Seconds of waiting that are left once this process leaves."""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def window(self) -> Iterator[None]:
        before, self._open = self._open, True
        try:
            if self._pending:
                raise KeyboardInterrupt
            yield
        finally:
            self._open = before

    def pause(self, seconds: float) -> None:
        """Sleeps, in a window: whoever waits for a lock has not begun to write.

        Once this process leaves, nothing ends it, but all pauses together last `LEAVING` seconds at most;
        then KeyboardInterrupt is raised.
        """
        if self._left is None:
            with self.window():
                time.sleep(seconds)
            return
        self._left -= seconds
        if self._left < 0:
            raise KeyboardInterrupt
        time.sleep(seconds)

    def leave(self) -> None:
        """From now on there is only cleaning up to do."""
        self._left = LEAVING

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._pending = True
        if number == signal.SIGHUP:
            _leave_terminal()
        if self._open:
            raise KeyboardInterrupt


def _leave_terminal() -> None:
    """What is said from now on goes nowhere: each write to a terminal that is gone would raise."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        if stat.S_ISCHR(os.fstat(descriptor).st_mode):
            os.dup2(null, descriptor)
    os.close(null)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _pids() -> list[int]:
    """All processes; none where there is no /proc (macOS), where trials still watch their runner."""
    proc = Path("/proc")
    return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()] if proc.is_dir() else []


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone, or another user's
        return []


def _foreign(pid: int) -> bool:
    """Alive, and neither this process nor a child of it."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return False
    return state != "Z" and os.getpid() not in (pid, int(parent))
