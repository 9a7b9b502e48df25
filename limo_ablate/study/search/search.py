"""Searches: trials that are proposed one after the other, by what the earlier ones came to.

An `optuna` block is a search under each seed, a block with `tune` one within each of its points under each
seed. A search keeps no state: whoever asks for proposals gives it the ledger's rows of the search, from which
the sampler's own study is made again (`search/sampler.py`). So any runner may propose, and the same rows give
the same proposals.
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
from limo_ablate.study.planned import PlannedTrial, Proposal, TrialSpec, all_seeds, trial_names, trial_spec
from limo_ablate.study.search.objectives import check, measured
from limo_ablate.study.search.pruning import Pruner, read_reports
from limo_ablate.trial.compose import compose_trials
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import trial_key

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

__all__ = ["Pruner", "Search", "known", "latest", "propose", "read_reports", "searches"]

_configs: dict[tuple[str, ...], TrialConfig] = {}
"""What was composed before: a ledger's proposals are read again and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    label: str
    """What its trials are called, without number and seed."""
    block: str
    seed: int
    n: int
    """Trials it may have: as declared, or as many as its axes have points."""
    space: Block
    """Axes, conditions and exclusions of what it chooses."""
    sampler: str
    """One of `SAMPLERS`."""
    population: int
    objectives: tuple[Objective, ...]
    pruner: Pruning | None
    overrides: tuple[str, ...]
    """Of all its trials; without what it chooses, and without the seed."""
    levels: Point
    """The point it tunes; empty for an `optuna` block."""

    @property
    def name(self) -> str:
        """Unique within the study."""
        return f"{self.label}-s{self.seed}"

    def remaining(self, rows: Sequence[FrozenTrial]) -> int:
        """How many more trials it may propose, with these rows in the ledger."""
        return max(0, self.n - len(latest(rows)))

    def values(self, metrics: Mapping[str, Any]) -> list[float]:
        """What its objectives came to, from the content of metrics.json. Raises UserError."""
        return [measured(metrics, objective.score) for objective in self.objectives]


def searches(study: Study) -> list[Search]:
    """All searches of a study, the first seed's first. Raises UserError."""
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
        n=_most(block, n),
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
    wanted = [trial_spec(study, block, point, seed) for point in block.points()]
    for w, name in zip(wanted, trial_names(wanted), strict=True):
        yield Search(
            label=name.removesuffix(f"-s{seed}") if w.levels else slug(block.name),
            block=block.name,
            seed=seed,
            n=_most(space, tune.n),
            space=space,
            sampler=tune.sampler,
            population=max(2, tune.n // 5),
            objectives=(Objective(score=tune.score, direction=tune.direction),),
            pruner=None,
            overrides=w.overrides[:-1],
            levels=w.levels,
        )


def _most(space: Block, n: int) -> int:
    """`n`, or as many points as there are to choose from."""
    counted = {axis: lv.numbers() if isinstance(lv, Range) else lv for axis, lv in space.axes.items()}
    whole: dict[str, Levels] = {axis: levels for axis, levels in counted.items() if levels is not None}
    product = math.prod(len(levels) for levels in counted.values() if levels is not None)
    if len(whole) < len(counted) or product > 1000 * n:
        return n
    return min(n, len(Block(name=space.name, axes=whole, when=space.when, exclude=space.exclude).points()))


def known(search: Search, rows: Sequence[FrozenTrial]) -> list[PlannedTrial]:
    """The trials that rows of the search stand for, one for each proposal."""
    proposals = [
        Proposal(search=search.name, **row.user_attrs["proposal"]) for _, row in sorted(latest(rows).items())
    ]
    return _trials(search, proposals)


def propose(search: Search, rows: Sequence[FrozenTrial], count: int) -> list[PlannedTrial]:
    """Up to `count` new trials; fewer where its trials or its points are used up. Raises UserError.

    `rows` are all rows of the search, in any state: what waits or runs is taken for no better than the worst
    so far, so that trials side by side are not all alike.
    """
    from limo_ablate.study.search.sampler import ask

    made = _trials(search, ask(search, rows, min(count, search.remaining(rows))))
    for trial in made:
        check(search.objectives, trial.config, f"block '{search.block}'")
    return made


def latest(rows: Sequence[FrozenTrial]) -> dict[int, FrozenTrial]:
    """Number of a proposal -> the row that says most of it: its result, else its last attempt."""
    found: dict[int, FrozenTrial] = {}
    for row in sorted(rows, key=lambda row: row.number):
        number = row.user_attrs["proposal"]["number"]
        if number not in found or found[number].state.name != "COMPLETE":
            found[number] = row
    return found


def _trials(search: Search, proposals: Sequence[Proposal]) -> list[PlannedTrial]:
    wanted = [_wanted(search, proposal) for proposal in proposals]
    missing = [w.overrides for w in wanted if w.overrides not in _configs]
    _configs.update(zip(missing, compose_trials(missing) if missing else (), strict=True))
    return [
        PlannedTrial(
            name=f"{search.label}-t{proposal.number:03d}-s{search.seed}",
            key=trial_key(_configs[w.overrides]),
            overrides=w.overrides,
            levels=w.levels,
            seed=w.seed,
            blocks=(w.block,),
            config=_configs[w.overrides],
            proposal=proposal,
        )
        for proposal, w in zip(proposals, wanted, strict=True)
    ]


def _wanted(search: Search, proposal: Proposal) -> TrialSpec:
    asked = (format_override(key, level) for key, level in proposal.levels.items())
    overrides = (*search.overrides, *asked, f"seed={search.seed}")
    return TrialSpec(search.block, overrides, search.levels | proposal.levels, search.seed)
