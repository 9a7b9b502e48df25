"""Imports in the fork server, done once, so that a trial starts in milliseconds rather than seconds.

multiprocessing drops ImportErrors of a preloaded module; here they are kept, and the first trial reports
them.
"""

from __future__ import annotations

import os
import signal
from importlib import import_module

VARIABLE = "LIMO_ABLATE_PRELOAD"
"""Environment variable: the modules, separated by commas; one marked with a leading `?` may be missing."""


def _import(names: list[str]) -> str | None:
    """Imports the modules; returns why that was not possible, else None."""
    for name in names:
        try:
            import_module(name.lstrip("?"))
        except Exception as error:
            if not name.startswith("?"):
                return f"{name} can't be imported: {type(error).__name__}: {error}"
    return None


if VARIABLE in os.environ:
    # this is the fork server: Ctrl-C and Slurm's SIGTERM reach it too, but only the runner acts on them
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

FAILURE = _import([name for name in os.environ.get(VARIABLE, "").split(",") if name])
