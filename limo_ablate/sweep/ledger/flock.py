"""File locks, which the kernel frees when their holder dies, kill -9 included; the lock of a `sweep`."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from limo_ablate.core.errors import UserError
from limo_ablate.core.files import open_plain

COORDINATOR = "coordinator.lock"
"""File in a study's folder: locked by the one `sweep` that runs the study, with its process id."""
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


def flock(file: IO[str] | IO[bytes], path: Path, operation: int = fcntl.LOCK_EX) -> bool:
    """Locks `file`, which is at `path`, without waiting; False while another process holds the lock.

    Raises UserError on a file system without locks.
    """
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        raise UserError(
            f"{path.parent}: its file system has no locks (flock: {error.strerror}), and runners of a study "
            "need them; set paths.studies to a folder that has (a local disk, NFS 4, Lustre with -o flock)"
        ) from error
    return True


@contextmanager
def coordinator(folder: Path) -> Iterator[None]:
    """Holds the study in `folder`. Raises UserError, with the holder's pid, while another process does."""
    folder.mkdir(parents=True, exist_ok=True)
    with open_plain(path := folder / COORDINATOR, "a+") as lock:
        if not flock(lock, path):
            lock.seek(0)
            raise UserError(
                f"{folder}: a sweep is already running here ({lock.read().strip()}); wait for it or stop it"
            )
        lock.truncate(0)
        lock.write(f"pid {os.getpid()}")
        lock.flush()
        yield


def coordinator_of(folder: Path) -> str | None:
    """`pid 123`: the process that runs the study in `folder` now; None where no `sweep` does."""
    path = folder / COORDINATOR
    if not path.exists():
        return None
    with open_plain(path, "r") as lock:
        return None if flock(lock, path, fcntl.LOCK_SH) else lock.read().strip()
