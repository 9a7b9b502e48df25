"""Which runners of a study are alive: each holds a file, and touches it as long as it lives.

On one machine the kernel frees a dead process's flock, so its death is seen at once. From another machine
only the file's time can be seen: it is dead once that has not changed for LEASE seconds of the watcher's own
clock, so that no machine's idea of the time matters, nor a jump of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from limo_ablate.sweep.ledger.flock import flock

RUNNERS = "runners"
"""The folder of the leases, in a study's folder."""
BEAT = 10.0
"""Seconds between two touches: rare enough for a shared file system with a hundred runners."""
LEASE = 60.0
"""Seconds without a touch after which a runner of another machine is dead: six touches, so that a slow file
system kills nobody."""


class Lease:
    """A runner's sign of life, in `folder/runners/ID.json`; use as a context."""

    def __init__(self, folder: Path, beat: float = BEAT, lease: float = LEASE) -> None:
        self.id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        """`host-pid-4hex`: the runner's id, which its rows in the ledger and its processes carry."""
        self._path = _path(folder, self.id)
        self._beat, self._lease = beat, lease
        self._left, self._lost = threading.Event(), threading.Event()
        self._last = _now()

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        about = {
            "host": socket.gethostname(),
            "machine": machine(),
            "pid": os.getpid(),
            "started": time.time(),
            "job": os.environ.get("SLURM_JOB_ID"),
        }
        partial = self._path.with_suffix(".partial")
        self._file = partial.open("x")
        flock(self._file, partial)
        self._file.write(json.dumps(about) + "\n")
        self._file.flush()
        partial.rename(self._path)  # it is never seen without its lock
        self._last = _now()
        threading.Thread(target=self._keep, name="lease", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._path.unlink(missing_ok=True)
        self._file.close()

    def lost(self) -> bool:
        """Whether others may have taken its trials: it could not touch its file for LEASE seconds."""
        if _now() - self._last > self._lease:
            self._lost.set()
        return self._lost.is_set()

    def _keep(self) -> None:
        while not self._left.wait(self._beat) and not self.lost():
            begun = _now()
            try:
                os.utime(self._path)
            except FileNotFoundError:  # someone has buried this runner
                self._lost.set()
            except OSError:  # the file system is away: the next touch may work
                continue
            else:
                self._last = begun


@dataclass(slots=True)
class Watch:
    """Judges the other runners of the study in `folder`, from when it first sees them."""

    folder: Path
    lease: float = LEASE
    _seen: dict[Hashable, tuple[object, float]] = field(default_factory=dict)

    def dead(self, runner: str) -> bool:
        """Whether a runner has ended, however."""
        path = _path(self.folder, runner)
        try:
            with path.open() as file:  # opening it makes NFS ask for its time anew
                if _about(file.read()).get("machine") == machine():
                    return flock(file, path, fcntl.LOCK_SH)
                return self.unchanged(runner, os.fstat(file.fileno()).st_mtime_ns)
        except FileNotFoundError:
            return True

    def unchanged(self, what: Hashable, value: object) -> bool:
        """Whether `what` has had this value for LEASE seconds of this process's clock."""
        seen, since = self._seen.get(what, (None, None))
        if since is None or seen != value:
            self._seen[what] = (value, since := _now())
        return _now() - since > self.lease

    def forget(self, what: Hashable) -> None:
        """Lets `unchanged` begin anew with `what`."""
        self._seen.pop(what, None)

    def last_beat(self, runner: str) -> float:
        """When the runner last touched its file, in seconds since 1970; 0 when it has none."""
        try:
            return _path(self.folder, runner).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def bury(self, runner: str) -> None:
        """Removes a dead runner's file; should it only have been suspended, it knows thereby that it lost."""
        _path(self.folder, runner).unlink(missing_ok=True)
        self.forget(runner)

    def here(self, runner: str) -> bool:
        """Whether the runner ran on this machine, so that its processes can be ended."""
        try:
            return _about(_path(self.folder, runner).read_text()).get("machine") == machine()
        except FileNotFoundError:
            return runner.rsplit("-", 2)[0] == socket.gethostname()

    def known(self) -> list[str]:
        """Ids of the runners that have a file, dead or alive."""
        return sorted(path.stem for path in (self.folder / RUNNERS).glob("*.json"))


def machine() -> str:
    """What tells this kernel, as booted, from all others: flock holds within it. Host names may be equal."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # macOS
        return socket.gethostname()


def _path(folder: Path, runner: str) -> Path:
    return folder / RUNNERS / f"{runner}.json"


def _about(text: str) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError:  # a full disk
        return {}
    return about


def _now() -> float:
    """Seconds, those of a suspended machine too; no setting of the clock changes it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
