"""In-process caches of parsed answers and comparisons, keyed by their texts."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

from limo_ablate.verify.limits import MAX_ANSWER

T = TypeVar("T")

CACHE_ENTRIES = 2048
LONG = 500
"""Characters of a call's texts beyond which only the last few calls are cached, so that hostile text can't
fill the memory."""
LONG_ENTRIES = 8

_CLEARERS: list[Callable[[], None]] = []


def cached(function: Callable[..., T]) -> Callable[..., T]:
    """Caches the last results of a function of texts and flags. Thread-safe, as lru_cache is."""
    short = lru_cache(maxsize=CACHE_ENTRIES)(function)
    long = lru_cache(maxsize=LONG_ENTRIES)(function)
    _CLEARERS.extend((short.cache_clear, long.cache_clear))

    @wraps(function)
    def call(*args: str | bool) -> T:
        if len(args) == 1 and isinstance(args[0], str) and len(args[0]) <= LONG:
            return short(args[0])
        length = 0
        for arg in args:
            if isinstance(arg, str):
                length += len(arg)
        if length <= LONG:
            return short(*args)
        return long(*args) if length <= 3 * MAX_ANSWER else function(*args)

    return call


def clear_caches() -> None:
    """Empties all caches, for benchmarks."""
    for clear_cache in _CLEARERS:
        clear_cache()
