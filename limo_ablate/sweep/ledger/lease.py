"""Which runners of a study are alive: each locks a file, and touches it as long as it lives.

On the same machine, the kernel frees a dead process's flock, so its death is seen at once. From another
machine only the file's modification time can be seen: its runner counts as dead once that has not changed for
LEASE seconds of the watcher's own clock, so that no machine's clock needs to be right, and none may jump.
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

from limo_ablate.core.errors import UserError
from limo_ablate.core.files import open_plain
from limo_ablate.core.reading import parse_json, read_text
from limo_ablate.sweep.ledger.flock import flock

RUNNERS = "runners"
"""Folder of the leases, in a study's folder."""
BEAT = 10.0
"""Seconds between two touches: few enough for a shared file system with a hundred runners."""
LEASE = 60.0
"""Seconds without a touch after which a runner of another machine counts as dead: six missed touches, so that
a slow file system does not kill anyone."""


LONGEST = 4096
"""Bytes of a lease's file."""


class Lease:
    """A runner's sign of life, in `folder/runners/ID.json`; use as a context."""

    def __init__(self, folder: Path, beat: float = BEAT, lease: float = LEASE) -> None:
        self.id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        """Id of the runner, `host-pid-4hex`; its rows in the ledger and its processes carry it."""
        self._path = _path(folder, self.id)
        self._beat, self._lease = beat, lease
        self._released, self._lost = threading.Event(), threading.Event()
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
        partial.rename(self._path)  # nobody sees it without its lock
        self._last = _now()
        threading.Thread(target=self._keep, name="lease", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._path.unlink(missing_ok=True)
        self._file.close()

    def lost(self) -> bool:
        """Whether others may have taken over its trials, as it could not touch its file for LEASE seconds."""
        if _now() - self._last > self._lease:
            self._lost.set()
        return self._lost.is_set()

    def _keep(self) -> None:
        while not self._released.wait(self._beat) and not self.lost():
            begun = _now()
            try:
                os.utime(self._path)
            except FileNotFoundError:  # another runner took this one for dead
                self._lost.set()
            except OSError:  # the file system is unreachable: the next touch may work
                continue
            else:
                self._last = begun


@dataclass(slots=True)
class Watch:
    """Tells which other runners of the study in `folder` are dead, from when it first sees them."""

    folder: Path
    lease: float = LEASE
    _seen: dict[Hashable, tuple[object, float]] = field(default_factory=dict)

    def is_dead(self, runner: str) -> bool:
        """Whether the runner has ended, in whatever way."""
        path = _path(self.folder, runner)
        try:
            with open_plain(path) as file:  # opening it makes NFS fetch its modification time again
                if _about(path, file.read(LONGEST)).get("machine") == machine():
                    return flock(file, path, fcntl.LOCK_SH)
                return self.is_unchanged(runner, os.fstat(file.fileno()).st_mtime_ns)
        except FileNotFoundError:
            return True

    def is_unchanged(self, what: Hashable, value: object) -> bool:
        """Whether `what` has had this value for LEASE seconds of this process's clock."""
        seen, since = self._seen.get(what, (None, None))
        if since is None or seen != value:
            self._seen[what] = (value, since := _now())
        return _now() - since > self.lease

    def forget(self, what: Hashable) -> None:
        """Lets `is_unchanged` start again for `what`."""
        self._seen.pop(what, None)

    def last_beat(self, runner: str) -> float:
        """When the runner last touched its file, in seconds since 1970; 0 if it has none."""
        try:
            return _path(self.folder, runner).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def remove(self, runner: str) -> None:
        """Removes a dead runner's file, by which one that was only suspended learns that it lost its
        lease."""
        _path(self.folder, runner).unlink(missing_ok=True)
        self.forget(runner)

    def is_on_this_machine(self, runner: str) -> bool:
        """Whether the runner runs or ran on this machine, so that its processes can be ended."""
        try:
            path = _path(self.folder, runner)
            return _about(path, read_text(path)).get("machine") == machine()
        except FileNotFoundError:
            return runner.rsplit("-", 2)[0] == socket.gethostname()

    def known(self) -> list[str]:
        """Ids of the runners that have a file, dead or alive."""
        return sorted(path.stem for path in (self.folder / RUNNERS).glob("*.json"))


def machine() -> str:
    """Id of this boot of this kernel, within which flock works; two machines may have the same host name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # macOS
        return socket.gethostname()


def _path(folder: Path, runner: str) -> Path:
    return folder / RUNNERS / f"{runner}.json"


def _about(path: Path, text: str | bytes) -> dict[str, Any]:
    try:
        about: dict[str, Any] = parse_json(text, path)
    except UserError:  # its disk was full
        return {}
    return about


def _now() -> float:
    """Seconds on a clock that can't be set and also runs while the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
