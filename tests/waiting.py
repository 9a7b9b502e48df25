"""Waiting for what must happen: no test depends on how fast the machine is."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

PATIENCE = 300.0
"""Seconds until a test gives up waiting: enough for a machine that is busy with other work."""

T = TypeVar("T")


def until(condition: Callable[[], T], every: float = 0.02) -> T:
    """The condition's value once it is true."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(every)
    return value


def gone(*processes: int) -> bool:
    """Whether these processes have ended."""
    return not any(_runs(process) for process in processes)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
