"""Levels that are mappings or lists (`select.shares`), as keys of tables of cells."""

from __future__ import annotations

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
