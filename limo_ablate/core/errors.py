"""The two kinds of expected failure. Everything else propagates with its traceback."""

import errno
import os

EXIT_USER_ERROR = 2
EXIT_TRIALS_FAILED = 3
EXIT_INTERRUPTED = 130
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The system's errors for a full disk, a user's full share of it, and a file over the limit."""


class UserError(Exception):
    """The user asked for something that can't be done: one line says what, which value, where, what to do."""


class TrialFailure(Exception):
    """A trial could not finish; the reason is recorded in the ledger and the sweep goes on."""


class Preempted(TrialFailure):
    """A trial was asked to end (SIGTERM) and did, once its checkpoint was written: it waits again."""


class NoSpace(TrialFailure):
    """A disk is full: no trial's fault, and none can go on."""


def says_full(error: BaseException | None) -> bool:
    """Whether the error, or one that it came from, says that a disk is full."""
    if error is None:
        return False
    says = isinstance(error, NoSpace) or getattr(error, "errno", None) in FULL
    says = says or any(os.strerror(number) in str(error) for number in FULL)
    return says or says_full(error.__cause__ or error.__context__)
