"""Levels that are mappings or lists (`select.shares`), as keys of tables of cells."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class MappingLevel(dict[str, Any]):
    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset((name, hashable(part)) for name, part in self.items()))

    def __str__(self) -> str:
        return ", ".join(f"{name} {part}" for name, part in self.items())


class ListLevel(list[Any]):
    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(map(hashable, self)))


def hashable(level: Any) -> Any:
    """An equal level that can be a key."""
    if isinstance(level, dict):
        return MappingLevel(level)
    return ListLevel(level) if isinstance(level, list) else level


def in_order(levels: Iterable[Any]) -> list[Any]:
    """Levels as they are shown: numbers by their value, others as they come."""
    listed = list(levels)
    numbers = all(isinstance(level, int | float) and not isinstance(level, bool) for level in listed)
    return sorted(listed) if numbers else listed
