"""Exit codes and the two kinds of expected failure. Everything else propagates with its traceback."""

import errno
import os

EXIT_USER_ERROR = 2
EXIT_TRIALS_FAILED = 3
EXIT_INTERRUPTED = 130
DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of the operating system for a full disk, an exhausted quota and a file over the size limit."""

UNUSABLE_PATH_ERRNOS = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, *DISK_FULL_ERRNOS
)  # fmt: skip
"""Errors of the operating system for a file or folder that the user must choose or mend."""


class UserError(Exception):
    """A user's mistake: one line says what is wrong, which value, where, and what to do."""


class TrialFailure(Exception):
    """A trial could not finish; the reason is recorded in the ledger and the sweep goes on."""


class Preempted(TrialFailure):
    """A trial ended on SIGTERM after it had written its checkpoint; it is queued again."""


class DiskFull(TrialFailure):
    """A disk is full: no trial can go on, and none is to blame."""


class StoreUnreachable(UserError):
    """The store of artifacts can't be reached: no trial can go on, and none is to blame."""


def is_disk_full(error: BaseException | None) -> bool:
    """Whether the error, or one that caused it, means that a disk is full."""
    if error is None:
        return False
    if isinstance(error, DiskFull) or getattr(error, "errno", None) in DISK_FULL_ERRNOS:
        return True
    if any(os.strerror(number) in str(error) for number in DISK_FULL_ERRNOS):
        return True
    return is_disk_full(error.__cause__ or error.__context__)
