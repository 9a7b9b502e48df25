"""SIGTERM to a training: it finishes its step, writes a checkpoint and leaves.

A training in several ranks hears of it in three ways: from the trial's head, which leaves a file on the desk
that all machines see; by a signal of its own, as Slurm sends to every process; and from the rank that has
heard of it, with the statistics of the step, so that all ranks write the same checkpoint.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DESK, STOP = "ranks", "stop"
"""In a training's folder: where its ranks are told what to do; a file there that asks them to end."""
_asked = False


@contextmanager
def listening() -> Iterator[None]:
    """Within it SIGTERM ends nothing by itself; `asked` tells. Only a main thread can listen."""
    global _asked
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _hear)
    try:
        yield
    finally:
        _asked = False
        signal.signal(signal.SIGTERM, before)


def asked(folder: Path) -> bool:
    """Whether this process, or all ranks of the training in `folder`, were asked to end."""
    return _asked or (folder / DESK / STOP).exists()


def _hear(*_: object) -> None:
    global _asked
    _asked = True
