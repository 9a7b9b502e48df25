"""What the fork server imports once, so that a trial starts in milliseconds rather than seconds.

multiprocessing drops ImportErrors of a preload; here they are kept, and the first trial tells them.
"""

from __future__ import annotations

import os
import signal
from importlib import import_module

VARIABLE = "LIMO_ABLATE_PRELOAD"
"""Environment variable with the modules, separated by commas; one behind a `?` may be missing."""


def _import(names: list[str]) -> str | None:
    """Imports the modules; why that was not possible, else None."""
    for name in names:
        try:
            import_module(name.lstrip("?"))
        except Exception as error:
            if not name.startswith("?"):
                return f"{name} can't be imported: {type(error).__name__}: {error}"
    return None


if (
    VARIABLE in os.environ
):  # this is the fork server: Ctrl-C in a terminal, and Slurm's SIGTERM, reach it too, but are the runner's
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

FAILURE = _import([name for name in os.environ.get(VARIABLE, "").split(",") if name])
