"""The two kinds of expected failure. Everything else propagates with its traceback."""

EXIT_USER_ERROR = 2
EXIT_TRIALS_FAILED = 3
EXIT_INTERRUPTED = 130


class UserError(Exception):
    """The user asked for something that can't be done: one line says what, which value, where, what to do."""


class TrialFailure(Exception):
    """A trial could not finish; the reason is recorded in the ledger and the sweep goes on."""
