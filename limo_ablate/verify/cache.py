"""In-process caches of parsed answers and comparisons, keyed by their texts."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")

CACHE_ENTRIES = 2048
MAX_CACHED_LENGTH = 500
"""Characters of a call's texts up to which it is cached, so that hostile text can't fill the memory."""

_CLEARERS: list[Callable[[], None]] = []


def cached(function: Callable[..., T]) -> Callable[..., T]:
    """Caches the last results of a function of texts and flags. Thread-safe, as lru_cache is."""
    with_cache = lru_cache(maxsize=CACHE_ENTRIES)(function)
    _CLEARERS.append(with_cache.cache_clear)

    @wraps(function)
    def call(*args: str | bool) -> T:
        length = sum(len(arg) for arg in args if isinstance(arg, str))
        return with_cache(*args) if length <= MAX_CACHED_LENGTH else function(*args)

    return call


def clear_caches() -> None:
    """Empties all caches, for benchmarks."""
    for clear_cache in _CLEARERS:
        clear_cache()
