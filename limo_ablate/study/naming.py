"""Names of trials: their levels and their seed, so that rows and messages say what they are."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

MAX_LENGTH = 120
"""Most characters of a name: file systems allow 255, but longer names are not readable."""


def unique_names(
    levels: Sequence[Mapping[str, Any]], blocks: Sequence[str], ends: Sequence[str]
) -> list[str]:
    """`size64-L5-s0`: a name for each point, ending in its `end`; prefixed with the block's where not
    unique."""
    short = [_short(point, end) for point, end in zip(levels, ends, strict=True)]
    counts = Counter(short)
    longer = [
        f"{slug(block)}-{name}" if counts[name] > 1 else name
        for block, name in zip(blocks, short, strict=True)
    ]
    counts = Counter(longer)
    return [
        f"{name}-{_digest(point)}" if counts[name] > 1 else name
        for point, name in zip(levels, longer, strict=True)
    ]


def slug(text: str) -> str:
    return re.sub(r"[^\w.]+", "_", text).strip("_")


def _short(point: Mapping[str, Any], end: str) -> str:
    name = "-".join([*(_level(key, _plain(level)) for key, level in point.items()), end])
    return name if len(name) <= MAX_LENGTH else f"{name[: MAX_LENGTH - 20]}-{_digest(point)}-{end}"


def _plain(level: Any) -> str | float | None:
    return level if isinstance(level, str | int | float) or level is None else repr(level)


@lru_cache(maxsize=None, typed=True)  # a study repeats the same few levels
def _level(key: str, level: str | float | None) -> str:
    """`L5`, `mini_m`, but `size64`, as a bare number would not say what it means."""
    text = str(level)
    if isinstance(level, str) and text[:1] == "-" and text[1:2].isalpha():
        text = f"minus_{text[1:]}"  # a reversed selection rule
    named = isinstance(level, str) and text[:1].isalpha()
    return slug(text if named else f"{key.rpartition('.')[2]}{text}")


def _digest(point: Mapping[str, Any]) -> str:
    return hashlib.sha256(repr(dict(point)).encode()).hexdigest()[:6]
