"""A study's settings as words: one value where all trials share it, all of them where it was varied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from limo_ablate.analysis.trials import Trial
from limo_ablate.report.labels import level

LEVELS = 8
"""Levels told one by one; of more numbers the lowest and the highest."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the finished trials were run with."""

    trials: list[Trial]
    _known: dict[str, list[Any]] = field(default_factory=dict, init=False, repr=False)

    def levels(self, key: str) -> list[Any]:
        """The values of `key`, each once, in the study's order; null where a trial lacks it."""
        if key not in self._known:
            found = [trial.level_if_any(key) for trial in self.trials]
            self._known[key] = list({repr(value): value for value in found}.values())
        return self._known[key]

    def any(self, key: str) -> bool:
        """Whether it is set in some trial: neither null nor false."""
        return any(self.levels(key))

    def is_(self, key: str, *values: Any) -> bool:
        """Whether some trial has one of these."""
        return any(found in values for found in self.levels(key))

    def told(self, key: str, words: Callable[[Any], str] = level) -> str:
        """`64`, or `4, 16 or 64 (varied)`, or `0.001 to 0.1 (varied, 20 values)`."""
        found = self.levels(key)
        if all(isinstance(value, int | float) for value in found):
            found = sorted(found)
            if len(found) > LEVELS:
                return f"{words(found[0])} to {words(found[-1])} (varied, {len(found)} values)"
        named = list(dict.fromkeys(map(words, found)))
        shown = named if len(named) <= LEVELS else [*named[: LEVELS - 1], f"{len(named) - LEVELS + 1} others"]
        return f"{', '.join(shown[:-1])} or {shown[-1]} (varied)" if len(shown) > 1 else shown[0]
