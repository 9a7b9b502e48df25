"""A limit of processor time for Python code that is not ours, such as a model's chat template."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.2


class TimeLimitExceeded(Exception):
    """The code took longer than it may."""


def within_processor_time(seconds: float, function: Callable[[], T]) -> T:
    """What `function` returns; TimeLimitExceeded once this thread has used `seconds` in it.

    Only between two steps of Python code: one call into C is not interrupted.
    """
    thread, ended, lock = threading.get_ident(), threading.Event(), threading.Lock()
    clock = _clock_of(thread)
    limit = clock() + seconds

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            with lock:
                if not ended.is_set() and clock() > limit:
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(
                        ctypes.c_ulong(thread), ctypes.py_object(TimeLimitExceeded)
                    )
                    return

    watcher = threading.Thread(target=watch, name="time limit", daemon=True)
    watcher.start()
    try:
        return function()
    finally:
        with lock:  # it may be about to raise the error here: never after this
            ended.set()
        watcher.join()


def _clock_of(thread: int) -> Callable[[], float]:
    """The seconds of processor time that a thread has used; of wall time where the system does not tell."""
    if not hasattr(time, "pthread_getcpuclockid"):  # macOS
        return time.monotonic
    number = time.pthread_getcpuclockid(thread)
    return lambda: time.clock_gettime(number)
