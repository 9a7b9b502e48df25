"""Levels of a study's axes as Optuna's parameters, so that optuna-dashboard names and plots them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.trial import FrozenTrial

from limo_ablate.study.planned import PlannedTrial

Space = dict[str, BaseDistribution]


def parameters(trial: PlannedTrial) -> dict[str, Any]:
    """Axis -> level as a scalar, as Optuna requires; includes the seed."""
    levels = {**trial.levels, "seed": trial.seed}
    return {
        key: level if level is None or isinstance(level, bool | int | float | str) else str(level)
        for key, level in levels.items()
    }


def space(rows: Sequence[FrozenTrial], trials: Iterable[PlannedTrial], *, grows: bool) -> Space:
    """A distribution for each axis, over the levels of all rows and trials.

    Where a categorical parameter may not grow (in a database), an axis that would is left out; its new rows
    keep the level in their attribute `levels`.
    """
    levels: dict[str, dict[tuple[type, Any], Any]] = {}
    for point in [*(row.params for row in rows), *(parameters(trial) for trial in trials)]:
        for key, level in point.items():
            levels.setdefault(key, {})[type(level), level] = level
    found = {key: _distribution(list(values.values())) for key, values in levels.items()}
    if not grows:
        old = {(key, kind) for row in rows for key, kind in row.distributions.items()}
        for key, kind in old:
            if key in found and not _compatible(kind, found[key]):
                del found[key]
    return found


def _distribution(levels: list[Any]) -> BaseDistribution:
    kinds = {type(level) for level in levels}
    if kinds == {int}:
        return IntDistribution(min(levels), max(levels))
    if kinds <= {int, float}:
        return FloatDistribution(min(levels), max(levels))
    return CategoricalDistribution(levels)


def _compatible(old: BaseDistribution, new: BaseDistribution) -> bool:
    try:
        check_distribution_compatibility(old, new)
    except ValueError:
        return False
    return True
