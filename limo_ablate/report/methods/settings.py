"""A study's settings as text: the value if all trials share it, else all values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from limo_ablate.analysis.trials import Trial
from limo_ablate.report.labels import level

LEVELS = 8
"""Maximum number of levels listed one by one; of more numbers, the range."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the finished trials."""

    trials: list[Trial]
    _known: dict[str, list[Any]] = field(default_factory=dict, init=False, repr=False)

    def levels(self, key: str) -> list[Any]:
        """The distinct values of `key` in the study's order; None if a trial lacks it."""
        if key not in self._known:
            values = [trial.level_if_any(key) for trial in self.trials]
            self._known[key] = list({repr(value): value for value in values}.values())
        return self._known[key]

    def any(self, key: str) -> bool:
        """Whether `key` is set in any trial: neither null nor false."""
        return any(self.levels(key))

    def has(self, key: str, *values: Any) -> bool:
        """Whether any trial has one of `values`."""
        return any(value in values for value in self.levels(key))

    def text(self, key: str, words: Callable[[Any], str] = level) -> str:
        """`64`, or `4, 16 or 64 (varied)`, or `0.001 to 0.1 (varied, 20 values)`."""
        values = self.levels(key)
        if all(isinstance(value, int | float) for value in values):
            values = sorted(values)
            if len(values) > LEVELS:
                return f"{words(values[0])} to {words(values[-1])} (varied, {len(values)} values)"
        named = list(dict.fromkeys(map(words, values)))
        shown = named if len(named) <= LEVELS else [*named[: LEVELS - 1], f"{len(named) - LEVELS + 1} others"]
        return f"{', '.join(shown[:-1])} or {shown[-1]} (varied)" if len(shown) > 1 else shown[0]
