"""Checks that the trials of a search are those that its block declares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from limo_ablate.analysis.register.current_trials import CurrentTrial
from limo_ablate.analysis.register.declaration import block_of, declared_design, result_overrides
from limo_ablate.analysis.register.registration import Registration
from limo_ablate.core.text import counted
from limo_ablate.study.axes import Levels, Range, keys
from limo_ablate.study.block import Block
from limo_ablate.study.design import Study
from limo_ablate.study.search.search import searches

REPORTING = "eval.report"
"""Override that a search with a pruner adds to its trials."""


def search_deviation(
    study: Study, block: Block, registered: Registration, trials: Sequence[CurrentTrial]
) -> str | None:
    """How a search's trials differ from the block's declaration, or their pool from the registered one.

    None if they don't. `trials` are all trials of the study.
    """
    own_trials = [current for current in trials if block.name in current.trial.blocks]
    if counted := _counted(study, block, own_trials):
        return counted
    declared = block_of(declared_design(study), block.name) or {}
    if deviating := sum(
        not _as_declared(block, declared["overrides"], current.trial.overrides) for current in own_trials
    ):
        return f"{deviating} of its {len(own_trials)} trials not run as declared"
    pool = registered.pools.get(block.name)
    if pool and (deviating := sum(current.digest("pool") not in (None, pool) for current in own_trials)):
        return f"{deviating} of its {len(own_trials)} trials selected from another pool than registered"
    return None


def _counted(study: Study, block: Block, own_trials: Sequence[CurrentTrial]) -> str | None:
    expected: Counter[int] = Counter()
    for search in searches(study):
        if search.block == block.name:
            expected[search.seed] += search.n
    actual = Counter(current.trial.seed for current in own_trials)
    if missing := (expected - actual).total():
        return f"{missing} of the {expected.total()} trials of its searches missing from the study"
    if extra := (actual - expected).total():
        return f"{counted(extra, 'trial')} in excess of the {expected.total()} of its searches"
    return None


def _as_declared(block: Block, declared: Mapping[str, Any], overrides: Mapping[str, Any]) -> bool:
    axes = {**block.axes, **(block.tune.axes if block.tune else {})}
    chosen = {key for axis in axes for key in keys(axis)} | {"seed", REPORTING}
    actual = {key: value for key, value in result_overrides(overrides).items() if key not in chosen}
    fixed = {key: value for key, value in declared.items() if key not in chosen}
    return actual == fixed and all(
        _allowed(axis, levels, overrides, axis in (block.when or {})) for axis, levels in axes.items()
    )


def _allowed(axis: str, levels: Levels, overrides: Mapping[str, Any], conditional: bool) -> bool:
    if missing := [key for key in keys(axis) if key not in overrides]:
        return conditional and len(missing) == len(keys(axis))
    value = [overrides[key] for key in keys(axis)]
    if isinstance(levels, Range):
        return bool(levels.low <= value[0] <= levels.high)
    return (value if len(value) > 1 else value[0]) in [_list(level) for level in levels]


def _list(level: Any) -> Any:
    return list(level) if isinstance(level, tuple) else level


def shares_pool(block: Block) -> bool:
    """Whether all trials of the block select from one pool: none of its axes is of the data."""
    axes = [*block.axes, *(block.tune.axes if block.tune else ())]
    return all(key.partition(".")[0] != "data" for axis in axes for key in keys(axis))
