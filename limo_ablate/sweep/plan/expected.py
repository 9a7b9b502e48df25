"""The trials that a study will have, each with its price: its trials, and what its searches may propose."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING

from limo_ablate.core.overrides import format_override
from limo_ablate.study.axes import Point, Range, settings
from limo_ablate.study.block import Block
from limo_ablate.study.design import Study
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.plan.cost import Costs
from limo_ablate.sweep.plan.schedule import Item
from limo_ablate.trial.compose import compose_trials

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from limo_ablate.study.search.search import Search

ENDED = ("COMPLETE", "PRUNED")
"""States of rows whose trials never run again."""


def known(trials: Sequence[PlannedTrial], costs: Costs, done: Container[str]) -> list[Item]:
    """`done`: ids of trials."""
    return [
        Item(
            name=trial.name,
            block=trial.blocks[0],
            seed=trial.seed,
            gpu=trial.config.hardware.device == "cuda",
            price=costs.price_of(trial),
            done=trial.id in done,
        )
        for trial in trials
    ]


def searched(study: Study, rows: Sequence[FrozenTrial], costs: Costs) -> list[Item]:
    """The trials that searches may propose, at the price of one in the middle of what they choose from."""
    if not any(block.adaptive for block in study.blocks):
        return []
    items = []
    for search, trial in _middles(study):
        config = trial.config
        own = [row for row in rows if row.user_attrs.get("search") == search.name]
        done = sum(row.state.name in ENDED for row in own)
        gpu, price = config.hardware.device == "cuda", costs.price(config)
        items += [
            Item(f"{search.name}-{i}", search.block, search.seed, gpu, price, i < done)
            for i in range(search.n)
        ]
    return items


def proposed(study: Study, rows: Sequence[FrozenTrial]) -> list[PlannedTrial]:
    """What its searches have proposed so far, by the ledger's rows."""
    if not rows or not any(block.adaptive for block in study.blocks):
        return []
    from limo_ablate.study.search.search import known, searches

    return [
        trial
        for search in searches(study)
        for trial in known(search, [row for row in rows if row.user_attrs.get("search") == search.name])
    ]


def tuned(study: Study) -> list[PlannedTrial]:
    """A stand-in for each point of the blocks that are tuned within their points, under each seed."""
    if not any(block.tune for block in study.blocks):
        return []
    return [trial for search, trial in _middles(study) if search.levels]


def _middles(study: Study) -> list[tuple[Search, PlannedTrial]]:
    """Each search, and a trial in the middle of what it chooses from."""
    from limo_ablate.study.search.search import searches

    asked = searches(study)
    overrides = [(*s.overrides, *_overrides(_middle(s.space)), f"seed={s.seed}") for s in asked]
    return [
        (
            search,
            PlannedTrial(
                name=search.name,
                key=search.name,
                overrides=given,
                levels=search.levels,
                seed=search.seed,
                blocks=(search.block,),
                config=config,
            ),
        )
        for search, given, config in zip(asked, overrides, compose_trials(overrides), strict=True)
    ]


def _middle(space: Block) -> Point:
    point: Point = {}
    for axis, levels in space.axes.items():
        if isinstance(levels, Range):
            low, high = levels.low, levels.high
            point[axis] = levels.tidy(math.sqrt(low * high) if levels.log else (low + high) / 2)
        else:
            point |= settings(axis, levels)[len(levels) // 2]
    return point


def _overrides(point: Point) -> Iterable[str]:
    return (format_override(key, level) for key, level in point.items())
