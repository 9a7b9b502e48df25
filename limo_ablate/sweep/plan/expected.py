"""The trials that a study will have, each with its forecast, including those that searches may propose."""

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
from limo_ablate.sweep.plan.schedule import ScheduledTrial
from limo_ablate.trial.compose import compose_trials

if TYPE_CHECKING:
    from limo_ablate.study.search.search import Search


def declared_items(
    trials: Sequence[PlannedTrial], costs: Costs, done: Container[str]
) -> list[ScheduledTrial]:
    """The trials known beforehand; `done`: ids of those that have ended."""
    return [
        ScheduledTrial(
            name=trial.name,
            block=trial.blocks[0],
            seed=trial.seed,
            forecast=costs.forecast_of(trial),
            done=trial.id in done,
        )
        for trial in trials
    ]


def search_items(study: Study, costs: Costs, done: Container[str]) -> list[ScheduledTrial]:
    """The trials that searches may propose, each with the forecast of one in the middle of the search's
    ranges."""
    if not any(block.adaptive for block in study.blocks):
        return []
    items = []
    for search, trial in _middle_trials(study):
        forecast = costs.forecast(trial.config)
        items += [
            ScheduledTrial(
                f"{search.name}-{i}", search.block, search.seed, forecast, f"{search.name}/{i}" in done
            )
            for i in range(search.n)
        ]
    return items


def tuned_stand_ins(study: Study) -> list[PlannedTrial]:
    """For each point of a block with `tune`, under each seed, a trial in the middle of the tuned ranges."""
    if not any(block.tune for block in study.blocks):
        return []
    return [trial for search, trial in _middle_trials(study) if search.levels]


def _middle_trials(study: Study) -> list[tuple[Search, PlannedTrial]]:
    """Each search, with a trial in the middle of its ranges."""
    from limo_ablate.study.search.search import searches

    own = searches(study)
    overrides = [(*s.overrides, *_overrides(_middle(s.space)), f"seed={s.seed}") for s in own]
    return [
        (
            search,
            PlannedTrial(
                name=search.name,
                key=search.name,
                overrides=own_overrides,
                levels=search.levels,
                seed=search.seed,
                blocks=(search.block,),
                config=config,
            ),
        )
        for search, own_overrides, config in zip(own, overrides, compose_trials(overrides), strict=True)
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
