"""Axes of a design: override keys and the levels they take.

select.size: [4, 16, 64]                                  # levels
train.learning_rate: {low: 1e-4, high: 1e-2, log: true}   # a range (random, optuna, tune)
select.size, train.epochs: [[100, 16], [800, 2]]          # a pair: keys that vary together
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.typed import nearest

DIGITS = 4
"""Significant digits of a number drawn from a range: enough for any setting, and short in a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """All numbers from `low` to `high`, both included; whole numbers where both (and `step`) are."""

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    def __post_init__(self) -> None:
        text = f"{{low: {self.low:g}, high: {self.high:g}}}"
        if not self.low < self.high:
            raise UserError(f"a range {text}: low must be below high")
        if self.log and self.low <= 0:
            raise UserError(f"a range {text}: with log: true, low must be above 0")
        if self.step is not None and (self.log or self.step <= 0):
            raise UserError(
                f"a range {text}: step={self.step:g} must be positive, and can't be combined with log: true"
            )

    @property
    def whole(self) -> bool:
        return all(isinstance(number, int) for number in (self.low, self.high, self.step or 0))

    def draw(self, rng: random.Random) -> int | float:
        """A random number in the range."""
        if self.step is not None:
            return rng.choice(self.numbers() or ())
        # half a step beyond each end, so that the ends are as likely as the numbers between them
        low, high = (self.low - 0.5, self.high + 0.5) if self.whole else (self.low, self.high)
        drawn = math.exp(rng.uniform(math.log(low), math.log(high))) if self.log else rng.uniform(low, high)
        return self.tidy(drawn)

    def numbers(self) -> tuple[int | float, ...] | None:
        """All numbers in the range; None where there are too many to list."""
        step = self.step or (1 if self.whole else None)
        if step is None:
            return None
        steps = math.floor((self.high - self.low) / step + 1e-9)
        return tuple(self.tidy(self.low + step * i) for i in range(steps + 1))

    def tidy(self, number: float) -> int | float:
        """Rounded to `DIGITS` significant digits (or to a whole number), and within the range."""
        if self.whole:
            return min(max(round(number), int(self.low)), int(self.high))
        return min(max(float(f"{number:.{DIGITS}g}"), float(self.low)), float(self.high))


Levels = tuple[Any, ...] | Range
Axes = Mapping[str, Levels]
Point = dict[str, Any]
"""Override key -> its level."""


def keys(axis: str) -> tuple[str, ...]:
    """The override keys of an axis: one, or several that vary together."""
    return tuple(key.strip() for key in axis.split(","))


def settings(axis: str, levels: Sequence[Any]) -> list[Point]:
    """Each level of an axis as override key -> value."""
    if len(named := keys(axis)) == 1:
        return [{axis: level} for level in levels]
    return [dict(zip(named, level, strict=True)) for level in levels]


def factors(axes: Axes) -> dict[str, tuple[Any, ...]]:
    """Override key -> its distinct levels, with keys that vary together listed apart; a range has none to
    list."""
    found: dict[str, tuple[Any, ...]] = {}
    for axis, levels in axes.items():
        set_by = [] if isinstance(levels, Range) else settings(axis, levels)
        for key in keys(axis):
            seen: list[Any] = []
            for point in set_by:
                if point[key] not in seen:
                    seen.append(point[key])
            found[key] = tuple(seen)
    return found


def check_axes(axes: Axes, where: str, *, ranges: bool) -> None:
    """Raises UserError for axes without levels, uneven pairs, repeated keys, and ranges unless `ranges`."""
    used: list[str] = []
    for axis, levels in axes.items():
        named = keys(axis)
        if isinstance(levels, Range):
            if not ranges or len(named) > 1:
                why = "a pair needs" if ranges else "ranges are for random, optuna and tune, others need"
                raise UserError(f"{where}: axes.{axis} is a range; {why} a list of levels")
        else:
            _check_levels(axis, levels, where)
        for key in named:
            check_no_seed(key, where)
            if key in used:
                raise UserError(f"{where}: {key} is in two axes")
            used.append(key)


def _check_levels(axis: str, levels: Sequence[Any], where: str) -> None:
    width = len(keys(axis))
    if not levels:
        raise UserError(f"{where}: axes.{axis} has no values; list them: {axis}: [1, 2]")
    for level in levels:
        if width > 1 and not (isinstance(level, list | tuple) and len(level) == width):
            raise UserError(f"{where}: axes.{axis}: {level!r} must be a list of {width}, one for each key")


def check_no_seed(key: str, where: str) -> None:
    if key == "seed":
        raise UserError(f"{where}: seed can't be a factor; set the study's `seeds: [0, 1, 2]` instead")


def check_condition(condition: Mapping[str, Any], axes: Axes, where: str) -> None:
    """Raises UserError when a condition names a key or a level that the axes don't have."""
    known = factors(axes)
    for key, wanted in condition.items():
        if key not in known:
            raise UserError(f"{where}: {key} is not an axis{nearest(key, known)} Axes: {', '.join(known)}")
        for level in alternatives(wanted):
            if known[key] and level not in known[key]:
                levels = ", ".join(map(str, known[key]))
                raise UserError(f"{where}: {key}={level} is not a level of that axis; levels: {levels}")


def narrowed(condition: Mapping[str, Any], axes: Axes) -> dict[str, Any]:
    """The condition with only those levels that the axes still have; one without any left is never met."""
    known = factors(axes)
    return {
        key: wanted
        if not known[key] or all(level in known[key] for level in alternatives(wanted))
        else [level for level in alternatives(wanted) if level in known[key]]
        for key, wanted in condition.items()
    }


def alternatives(wanted: Any) -> Sequence[Any]:
    """The levels a condition allows: one, or a list of them."""
    return wanted if isinstance(wanted, list | tuple) else (wanted,)


def meets(point: Point, condition: Mapping[str, Any]) -> bool:
    """Whether the point has the levels of the condition."""
    return all(key in point and point[key] in alternatives(wanted) for key, wanted in condition.items())
