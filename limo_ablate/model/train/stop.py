"""Graceful end of a training on SIGTERM: it finishes its step, writes a checkpoint and exits.

With several ranks the request travels in three ways: the trial's main process creates a file in the ranks'
scratch folder, which all machines see; a rank may get the signal itself, as under Slurm; and a rank that
knows of it tells the others together with the statistics of the step, so that all write the same
checkpoint.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCRATCH_DIR, STOP_FILE = "ranks", "stop"
"""Folder in a training's folder for files between its ranks; file in it that requests their end."""
_requested = False


@contextmanager
def deferring_sigterm() -> Iterator[None]:
    """Within it, SIGTERM only sets what `stop_requested` returns. Does nothing outside the main thread."""
    global _requested
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        yield
    finally:
        _requested = False
        signal.signal(signal.SIGTERM, before)


def stop_requested(folder: Path) -> bool:
    """Whether this process, or the training in `folder`, has been told to end."""
    return _requested or (folder / SCRATCH_DIR / STOP_FILE).exists()


def _on_sigterm(*_: object) -> None:
    global _requested
    _requested = True
