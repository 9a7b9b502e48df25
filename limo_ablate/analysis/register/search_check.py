"""Blocks whose cells a search proposes: whether what has been run is what the declaration asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from limo_ablate.analysis.register.current_trials import CurrentTrial
from limo_ablate.analysis.register.declaration import block_of, declared_design, result_overrides
from limo_ablate.analysis.register.registration import Registration
from limo_ablate.study.axes import Levels, Range, keys
from limo_ablate.study.block import Block
from limo_ablate.study.design import Study
from limo_ablate.study.search.search import searches

REPORTING = "eval.report"
"""What a search with a pruner adds to its trials."""


def search_deviation(
    study: Study, block: Block, registered: Registration, cells: Sequence[CurrentTrial]
) -> str | None:
    """How the trials of a searched block differ from its declaration, or their pool from the registered one.

    None where they don't. `cells` are those of the study.
    """
    own = [cell for cell in cells if block.name in cell.trial.blocks]
    if counted := _counted(study, block, own):
        return counted
    declared = block_of(declared_design(study), block.name) or {}
    if others := sum(not _as_declared(block, declared["overrides"], cell.trial.overrides) for cell in own):
        return f"{others} of its {len(own)} trials were not run as declared"
    pool = registered.pools.get(block.name)
    if pool and (others := sum(cell.digest("pool") not in (None, pool) for cell in own)):
        return f"{others} of its {len(own)} trials selected from another pool than registered"
    return None


def _counted(study: Study, block: Block, own: Sequence[CurrentTrial]) -> str | None:
    wanted: Counter[int] = Counter()
    for search in searches(study):
        if search.block == block.name:
            wanted[search.seed] += search.n
    have = Counter(cell.trial.seed for cell in own)
    if lost := (wanted - have).total():
        return f"{lost} of the {wanted.total()} trials of its searches are not in the study"
    if extra := (have - wanted).total():
        return f"{extra} trials are more than the {wanted.total()} of its searches"
    return None


def _as_declared(block: Block, overrides: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    axes = {**block.axes, **(block.tune.axes if block.tune else {})}
    chosen = {key for axis in axes for key in keys(axis)} | {"seed", REPORTING}
    given = {key: value for key, value in result_overrides(asked).items() if key not in chosen}
    fixed = {key: value for key, value in overrides.items() if key not in chosen}
    return given == fixed and all(
        _allowed(axis, levels, asked, axis in (block.when or {})) for axis, levels in axes.items()
    )


def _allowed(axis: str, levels: Levels, asked: Mapping[str, Any], conditional: bool) -> bool:
    if missing := [key for key in keys(axis) if key not in asked]:
        return conditional and len(missing) == len(keys(axis))
    value = [asked[key] for key in keys(axis)]
    if isinstance(levels, Range):
        return bool(levels.low <= value[0] <= levels.high)
    return (value if len(value) > 1 else value[0]) in [_list(level) for level in levels]


def _list(level: Any) -> Any:
    return list(level) if isinstance(level, tuple) else level


def shares_pool(block: Block) -> bool:
    """Whether all trials of the block select from one pool: its axes leave the data alone."""
    axes = [*block.axes, *(block.tune.axes if block.tune else ())]
    return all(key.partition(".")[0] != "data" for axis in axes for key in keys(axis))
