"""Searches: adaptive designs, whose trials are proposed from the results of earlier ones.

An `optuna` block is a search under each seed; a block with `tune` is a search within each of its points,
under each seed. A search keeps no state: proposals are made from the search's rows in the ledger
(`search/propose.py`). So any runner may propose, and the same rows give the same proposals.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.overrides import format_override
from limo_ablate.study.axes import Levels, Point, Range
from limo_ablate.study.block import Block, Objective, Pruning
from limo_ablate.study.design import Study
from limo_ablate.study.naming import slug
from limo_ablate.study.planned import all_seeds, trial_names, trial_spec
from limo_ablate.study.points import points
from limo_ablate.study.search.objectives import objective_value

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    label: str
    """Name of its trials, without number and seed."""
    block: str
    seed: int
    n: int
    """Number of trials: as declared, or as many as its axes have points."""
    space: Block
    """A block with the axes, conditions and exclusions that it chooses from."""
    sampler: str
    """One of `SAMPLERS`."""
    population: int
    objectives: tuple[Objective, ...]
    pruner: Pruning | None
    overrides: tuple[str, ...]
    """Overrides of all its trials, without what it chooses and without the seed."""
    levels: Point
    """The point that it tunes; empty for an `optuna` block."""

    @property
    def name(self) -> str:
        """Unique within the study."""
        return f"{self.label}-s{self.seed}"

    def remaining(self, rows: Sequence[FrozenTrial]) -> int:
        """How many more trials it may propose, with these rows in the ledger."""
        return max(0, self.n - len(latest(rows)))

    def values(self, metrics: Mapping[str, Any]) -> list[float]:
        """Values of its objectives, from the content of metrics.json. Raises UserError."""
        return [objective_value(metrics, objective.score) for objective in self.objectives]


def searches(study: Study) -> list[Search]:
    """All searches of a study, the first seed first. Raises UserError."""
    blocks = [block for block in study.blocks if block.adaptive]
    found = [
        search
        for seed in (all_seeds(study) if blocks else ())
        for block in blocks
        if seed in (block.seeds or study.seeds)
        for search in (_tuned(study, block, seed) if block.tune else [_whole(study, block, seed)])
    ]
    names = [search.name for search in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"study {study.name}: two searches would be named {twice[0]}; rename their blocks")
    return found


def _whole(study: Study, block: Block, seed: int) -> Search:
    n, pruner, objectives = block.n or 0, block.pruner, block.objectives or ()
    reporting = {"score": objectives[0].score, "every": pruner.every} if pruner else None
    return Search(
        label=slug(block.name),
        block=block.name,
        seed=seed,
        n=_trial_count(block, n),
        space=block,
        sampler=block.sampler or "tpe",
        population=block.population or max(2, n // 5),
        objectives=objectives,
        pruner=pruner,
        overrides=(
            *study.overrides,
            *block.overrides,
            *([format_override("eval.report", reporting)] if reporting else ()),
        ),
        levels={},
    )


def _tuned(study: Study, block: Block, seed: int) -> Iterator[Search]:
    assert block.tune is not None
    tune = block.tune
    space = Block(name=block.name, design="random", n=tune.n, axes=tune.axes)
    specs = [trial_spec(study, block, point, seed) for point in points(block)]
    for spec, name in zip(specs, trial_names(specs), strict=True):
        yield Search(
            label=name.removesuffix(f"-s{seed}") if spec.levels else slug(block.name),
            block=block.name,
            seed=seed,
            n=_trial_count(space, tune.n),
            space=space,
            sampler=tune.sampler,
            population=max(2, tune.n // 5),
            objectives=(Objective(score=tune.score, direction=tune.direction),),
            pruner=None,
            overrides=spec.overrides[:-1],
            levels=spec.levels,
        )


def _trial_count(space: Block, n: int) -> int:
    """`n`, or the number of points to choose from where that is smaller."""
    counted = {axis: lv.numbers() if isinstance(lv, Range) else lv for axis, lv in space.axes.items()}
    whole: dict[str, Levels] = {axis: levels for axis, levels in counted.items() if levels is not None}
    product = math.prod(len(levels) for levels in counted.values() if levels is not None)
    if len(whole) < len(counted) or product > 1000 * n:
        return n
    return min(n, len(points(Block(name=space.name, axes=whole, when=space.when, exclude=space.exclude))))


def rows_of(search: Search, rows: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The rows of a search's trials."""
    return [row for row in rows if row.user_attrs.get("search") == search.name]


def latest(rows: Sequence[FrozenTrial]) -> dict[int, FrozenTrial]:
    """Number of a proposal -> its row with a result that still counts, else the row of its last attempt."""
    by_number: dict[int, FrozenTrial] = {}
    for row in sorted(rows, key=lambda row: row.number):
        number = row.user_attrs["proposal"]["number"]
        before = by_number.get(number)
        if before is None or before.state.name != "COMPLETE" or "retry" in row.user_attrs:
            by_number[number] = row
    return by_number
