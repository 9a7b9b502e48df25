"""What a study would cost and could see, before it runs; see `limo-ablate plan`. Writes nothing."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limo_ablate.core.hardware import available_cores, visible_gpus
from limo_ablate.study.block import Block
from limo_ablate.study.design import Study
from limo_ablate.study.planned import all_seeds, planned_trials
from limo_ablate.study.points import alias_table
from limo_ablate.sweep.plan.checks import check_study
from limo_ablate.sweep.plan.cost import Costs
from limo_ablate.sweep.plan.detectable import Detectable, detectable
from limo_ablate.sweep.plan.expected import ENDED, known, proposed, searched, tuned
from limo_ablate.sweep.plan.fit import Fit, fits
from limo_ablate.sweep.plan.schedule import Item, Schedule, queued, schedule
from limo_ablate.trial.compose import compose
from limo_ablate.trial.config import TrialConfig

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True, slots=True)
class Part:
    """A block, without trials that an earlier block has too."""

    name: str
    design: str
    trials: int
    seeds: int
    done: int
    longest: float
    """Seconds of its longest trial."""
    left: float
    """Device-seconds of what is left to do."""
    spread: float
    """Of their logarithm."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The trials on GPUs, or those on cores, and when they would run."""

    gpu: bool
    devices: int
    here: bool
    """Whether this machine has the devices; else as many are assumed as the widest trial takes."""
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class Plan:
    study: Study
    parts: list[Part]
    pools: list[Pool]
    spent: float
    """Device-seconds."""
    learnt: int
    """Finished trials that the forecasts come from."""
    fits: list[Fit]
    aliases: dict[str, list[list[str]]]
    """Fractional block -> effects that can't be told apart."""
    contrasts: list[Detectable]


def plan(study: Study, gpu_memory: float | None = None) -> Plan:
    """Reads the study's ledger where there is one. `gpu_memory`: bytes of a GPU; None: this machine's."""
    found = planned_trials(study)
    check_study(study, found)
    configs = [trial.config for trial in found] or [compose([*study.overrides, *study.blocks[0].overrides])]
    folder = Path(configs[0].paths.studies) / study.name
    rows = _rows(study, folder)
    costs = Costs()
    costs.learn(rows, [*found, *proposed(study, rows)])
    ended = [row for row in rows if row.state.name in ENDED]
    done = {row.user_attrs["key"]: Path(_result(row).get("folder", "")) for row in ended}
    items = [*known(found, costs, done), *searched(study, rows, costs)]
    spent, ran = _used(rows)
    return Plan(
        study=study,
        parts=_parts(study, items),
        pools=_pools(study, [item for item in items if not item.done], configs, spent, ran),
        spent=spent,
        learnt=costs.learnt,
        fits=fits(configs, gpu_memory),
        aliases={block.name: alias_table(block) for block in study.blocks if block.design == "fractional"},
        contrasts=detectable(study.contrasts, [*found, *tuned(study)], done, study.cluster),
    )


def _used(rows: Sequence[FrozenTrial]) -> tuple[float, float]:
    """Device-seconds that were spent, and wall time in which trials ran."""
    if not rows:
        return 0.0, 0.0
    from limo_ablate.sweep.ledger.ledger import histories, seconds_run  # optuna

    spent = sum(history.device_seconds for history in histories(rows).values())
    return spent, seconds_run(rows, time.time())


def _result(row: FrozenTrial) -> dict[str, Any]:
    result: dict[str, Any] = row.user_attrs.get("result", {})
    return result


def _rows(study: Study, folder: Path) -> list[FrozenTrial]:
    """Of the study's ledger; none, and nothing is made, where it has never been run."""
    if not (folder / "study.yaml").exists():
        return []
    from limo_ablate.sweep.ledger.ledger import LEDGER, Ledger  # optuna

    return list(Ledger(study.ledger or folder / LEDGER, study.name).rows())


def _parts(study: Study, items: Sequence[Item]) -> list[Part]:
    by_block: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_block[item.block].append(item)
    return [_part(block, by_block[block.name]) for block in study.blocks]


def _part(block: Block, own: Sequence[Item]) -> Part:
    left = [item.price for item in own if not item.done]
    work = sum(price.device_seconds for price in left)
    return Part(
        name=block.name,
        design=f"{block.design}, tuned" if block.tune else block.design,
        trials=len(own),
        seeds=len({item.seed for item in own}),
        done=sum(item.done for item in own),
        longest=max((item.price.seconds for item in own), default=0.0),
        left=work,
        spread=sum(price.device_seconds * price.spread for price in left) / work if work else 0.0,
    )


def _pools(
    study: Study, left: Sequence[Item], configs: Sequence[TrialConfig], spent: float, ran: float
) -> list[Pool]:
    """GPUs and cores apart, with what this machine has of them, or else what the widest trial needs."""
    pools, slots = [], configs[0].launch.slots
    for gpu in (True, False):
        if not (own := [item for item in left if item.gpu == gpu]):
            continue
        widest = max(item.price.devices for item in own)
        there = slots * widest if slots else len(visible_gpus()) if gpu else available_cores()
        width = max(there, widest)
        made = schedule(queued(own, all_seeds(study)), width, study.budget, spent, ran)
        pools.append(Pool(gpu, width, there >= widest, made))
        spent += sum(item.price.device_seconds for item in made.run)
    return pools
