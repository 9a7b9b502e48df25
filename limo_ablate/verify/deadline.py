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
    ends = math.inf
    """The calling thread's processor time at which the verdict must be there."""
    worker = WORKER_SECONDS
    """Seconds of the SymPy worker's processor time that are left for the verdict."""


_LEFT = _Left()


def one_deadline(function: Callable[P, R]) -> Callable[P, R]:
    """All that `function` calls shares one limit: processor time, so that a busy machine changes nothing."""

    @wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        if _LEFT.ends != math.inf:
            return function(*args, **kwargs)
        _LEFT.ends, _LEFT.worker = time.thread_time() + THREAD_SECONDS, WORKER_SECONDS
        try:
            return function(*args, **kwargs)
        finally:
            _LEFT.ends = math.inf

    return limited


def check_time() -> None:
    """Raises LimitReached once the verdict's time in the calling thread is used up."""
    if time.thread_time() > _LEFT.ends:
        raise LimitReached("time in the calling thread")


def worker_seconds() -> float:
    """Seconds that the worker may still take for this verdict. Raises LimitReached if there are none."""
    if _LEFT.ends == math.inf:
        return WORKER_SECONDS
    if _LEFT.worker <= 0:
        raise LimitReached(f"more than {WORKER_SECONDS:g} s in the worker")
    return _LEFT.worker


def spend_worker_seconds(seconds: float) -> None:
    _LEFT.worker -= seconds
