"""A study's settings as text: the value if all trials share it, else all values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from limo_ablate.analysis.trials import Trial
from limo_ablate.report.labels import level

LEVELS = 8
"""Maximum number of levels listed one by one; of more numbers, the range."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of finished trials: all of a study, or those that a sentence is about."""

    trials: Sequence[Trial]
    _known: dict[str, list[Any]] = field(default_factory=dict, init=False, repr=False)

    def where(self, fits: Callable[[Trial], bool]) -> Settings:
        """Settings of the trials that `fits` holds for."""
        return Settings([trial for trial in self.trials if fits(trial)])

    def given(self, key: str) -> Settings:
        """Settings of the trials in which `key` is neither null nor false."""
        return self.where(lambda trial: bool(trial.level_if_any(key)))

    def without(self, others: Settings) -> Settings:
        """Settings of the trials that are not among `others`."""
        names = {trial.name for trial in others.trials}
        return self.where(lambda trial: trial.name not in names)

    def by(self, key: str) -> list[tuple[Any, Settings]]:
        """Each value of `key`, with the settings of the trials that have it."""
        parts: dict[str, list[Trial]] = {}
        for trial in self.trials:
            parts.setdefault(repr(trial.level_if_any(key)), []).append(trial)
        return list(zip(self.levels(key), map(Settings, parts.values()), strict=True))

    def other_than(self, key: str, value: Any) -> Settings:
        """Settings of the trials in which `key` has another value."""
        return self.where(lambda trial: bool(trial.level_if_any(key) != value))

    def share(self, whole: Settings) -> str:
        """` (in 4 of 12 trials)`; empty if these are all trials of `whole`, which a sentence is about."""
        count, total = len(self.trials), len(whole.trials)
        return "" if count == total else f" (in {count} of {total} trials)"

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

    def text(self, key: str, words: Callable[[Any], str] | None = None) -> str:
        """`64`, or `4, 16 or 64 (varied)`, or `0.001 to 0.1 (varied, 20 values)`."""
        values, words = self.levels(key), words or partial(level, key=key)
        if all(isinstance(value, int | float) for value in values):
            values = sorted(values)
            if len(values) > LEVELS:
                return f"{words(values[0])} to {words(values[-1])} (varied, {len(values)} values)"
        named = list(dict.fromkeys(map(words, values)))
        shown = named if len(named) <= LEVELS else [*named[: LEVELS - 1], f"{len(named) - LEVELS + 1} others"]
        return f"{', '.join(shown[:-1])} or {shown[-1]} (varied)" if len(shown) > 1 else shown[0]
