"""One time limit for each verdict, whatever is compared for it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from limo_ablate.verify.limits import THREAD_SECONDS, WORKER_SECONDS, LimitReached

P = ParamSpec("P")
R = TypeVar("R")


class _Left(threading.local):
    looks = math.inf
    """The wall time from which the processor time is looked at, which is a slow call on some systems."""
    ends: float | None = None
    """The calling thread's processor time at which the verdict must be there."""
    worker = WORKER_SECONDS
    """Seconds of the SymPy worker's processor time that are left for the verdict."""


_LEFT = _Left()


def one_deadline(function: Callable[P, R]) -> Callable[P, R]:
    """All that `function` calls shares one limit: processor time, so that a busy machine changes nothing."""

    @wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        if _LEFT.looks != math.inf:
            return function(*args, **kwargs)
        _LEFT.looks, _LEFT.worker = time.perf_counter() + THREAD_SECONDS / 2, WORKER_SECONDS
        try:
            return function(*args, **kwargs)
        finally:
            _LEFT.looks, _LEFT.ends = math.inf, None

    return limited


def check_time() -> None:
    """Raises LimitReached once the verdict's time in the calling thread is used up.

    The first half of it is wall time, within which no more processor time can have been used.
    """
    if time.perf_counter() < _LEFT.looks:
        return
    if _LEFT.ends is None:
        _LEFT.ends = time.thread_time() + THREAD_SECONDS / 2
    elif time.thread_time() > _LEFT.ends:
        raise LimitReached("time in the calling thread")


def worker_seconds() -> float:
    """Seconds that the worker may still take for this verdict. Raises LimitReached if there are none."""
    if _LEFT.looks == math.inf:
        return WORKER_SECONDS
    if _LEFT.worker <= 0:
        raise LimitReached(f"more than {WORKER_SECONDS:g} s in the worker")
    return _LEFT.worker


def spend_worker_seconds(seconds: float) -> None:
    _LEFT.worker -= seconds
