"""Locks of files that end with their holder, and what to say where a file system has none."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path
from typing import IO

from limo_ablate.core.errors import UserError

_WITHOUT = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


def flock(file: IO[str] | IO[bytes], path: Path, operation: int = fcntl.LOCK_EX) -> bool:
    """Locks `file`, which is at `path`, without waiting; False while another process holds it.

    Raises UserError on a file system that has no locks.
    """
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _WITHOUT:
            raise
        raise UserError(
            f"{path.parent}: its file system has no locks (flock: {error.strerror}), and runners of a study "
            "need them; set paths.studies to a folder that has (a local disk, NFS 4, Lustre with -o flock)"
        ) from error
    return True
