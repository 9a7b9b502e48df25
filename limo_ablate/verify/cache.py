"""What is remembered: parsed answers and comparisons by their texts, in this process only.

The verifier's version is fixed within a process, so that texts and options are the whole key.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")

ENTRIES = 2048
MAX_LENGTH = 500
"""Characters of a call's texts; longer ones are worked out again: hostile text can't fill the memory."""

_CLEARERS: list[Callable[[], None]] = []


def remembered(function: Callable[..., T]) -> Callable[..., T]:
    """`function` of texts, its last results kept. Safe under threads, as lru_cache is."""
    cached = lru_cache(maxsize=ENTRIES)(function)
    _CLEARERS.append(cached.cache_clear)

    @wraps(function)
    def call(*args: str | bool) -> T:
        length = sum(len(arg) for arg in args if isinstance(arg, str))
        return cached(*args) if length <= MAX_LENGTH else function(*args)

    return call


def clear() -> None:
    """Forget all of it; benchmarks measure without."""
    for forget in _CLEARERS:
        forget()
