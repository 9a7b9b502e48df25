"""`limo-ablate plan`: cost and statistical power of a study, before it runs. Writes nothing."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from limo_ablate.core.hardware import available_cores, visible_gpus
from limo_ablate.model.train.model_config import may_allow_code
from limo_ablate.study.block import Block
from limo_ablate.study.budget import Use
from limo_ablate.study.design import Study
from limo_ablate.study.planned import PlannedTrial, all_seeds, cell_count, planned_trials
from limo_ablate.study.points import alias_table
from limo_ablate.study.search.propose import all_proposed, first_proposals
from limo_ablate.study.search.search import searches
from limo_ablate.study.stop import planned
from limo_ablate.sweep.plan.checks import check_study
from limo_ablate.sweep.plan.cost import Costs
from limo_ablate.sweep.plan.detectable import Detectable, detectable
from limo_ablate.sweep.plan.expected import declared_items, search_items, tuned_stand_ins
from limo_ablate.sweep.plan.fit import Fit, fits
from limo_ablate.sweep.plan.preflight import Preflight, check_trials
from limo_ablate.sweep.plan.schedule import Schedule, ScheduledTrial, in_queue_order, schedule
from limo_ablate.sweep.trust import named, untrusted
from limo_ablate.trial.compose import compose
from limo_ablate.trial.config import TrialConfig

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


Source = Literal["here", "given", "assumed"]


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """The trials of a block, without those that an earlier block has too."""

    name: str
    design: str
    trials: int
    """Number of trials."""
    seeds: int
    """Number of seeds."""
    done: int
    """Number of trials that have ended."""
    longest: float
    """Forecast of its longest trial, in seconds."""
    left: Use
    """What is left to do."""
    spread: float
    """Standard deviation of the logarithm of the device-seconds that are left."""


@dataclass(frozen=True, slots=True)
class DevicePool:
    """The trials on GPUs, or those on CPU cores, and when they would run."""

    gpu: bool
    """Whether these are GPUs; else CPU cores."""
    machines: list[int]
    """Number of devices of each machine."""
    source: Source
    """Whether they are this machine's, were given, or are what the widest trial needs."""
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class Sequential:
    expected: list[float]
    """Seeds until a contrast is decided: without a difference, with the one that all seeds detect with 80 %
    power, with twice that."""
    fixed: int
    """Seeds of a fixed design with the same power."""
    levels: list[tuple[float, float]]
    """`sequential.nominal` of each look."""


@dataclass(frozen=True, slots=True)
class Plan:
    study: Study
    trials: int
    """Number of trials, of all blocks."""
    cells: int | None
    """Number of cells; null where searches choose them."""
    blocks: list[BlockPlan]
    pools: list[DevicePool]
    spent: Use
    """What is spent already."""
    priced: bool
    """Whether the price of every trial's devices is known."""
    learnt: int
    """Number of finished trials from which the forecasts are learnt."""
    fits: list[Fit]
    aliases: dict[str, list[list[str]]]
    """Name of a fractional block -> its effects; those in one list are aliased."""
    contrasts: list[Detectable]
    sequential: Sequential | None
    """Of a study with `stop`, the seeds that it is expected to take."""
    named: list[str]
    """What the study's file itself names that would run, as `key=value`."""
    teachers: list[str]
    """What teachers have yet to write and what that costs, a line each."""
    preflight: Preflight
    """What would keep the trials that are left from running."""


def plan(
    study: Study,
    gpu_memory: float | None = None,
    typed: Sequence[str] = (),
    machines: Sequence[int] | None = None,
) -> Plan:
    """The plan of a study, from its ledger where there is one.

    `gpu_memory`: bytes of a GPU, `machines`: number of devices of each; None: this machine's. `typed`: the
    user's own overrides. Raises UserError.
    """
    trials = planned_trials(study)
    check_study(study, trials)
    configs = [trial.config for trial in trials] or [compose([*study.overrides, *study.blocks[0].overrides])]
    folder = Path(configs[0].paths.studies) / study.name
    rows, own_searches = _rows(study, folder), searches(study)
    known = [*trials, *(all_proposed(own_searches, rows) if rows else ())]
    costs = Costs()
    costs.learn(rows, known, folder)
    done = _done(folder, known, rows)
    lines = named(trials, own_searches, typed)
    may_allow_code(not untrusted(lines))
    items = [*declared_items(trials, costs, done), *search_items(study, costs, done)]
    used, ran = _used(rows, known)
    left = [
        (trial.name, trial.config)
        for trial in (*trials, *first_proposals(own_searches, rows))
        if trial.id not in done
    ]
    preflight = check_trials(left, elsewhere=True)  # reads small pools, whose problems teachers are asked
    return Plan(
        study=study,
        trials=len(items),
        cells=cell_count(trials) if len(items) == len(trials) else None,
        blocks=_block_plans(study, items),
        pools=_pools(study, [item for item in items if not item.done], configs, used, ran, machines),
        spent=used,
        priced=all(config.hardware.price is not None for config in configs),
        learnt=costs.learnt,
        fits=fits(configs, gpu_memory),
        aliases={block.name: alias_table(block) for block in study.blocks if block.design == "fractional"},
        sequential=_sequential(study),
        named=lines,
        teachers=_teachers([config for _, config in left if config.data.teacher]),
        preflight=preflight,
        contrasts=detectable(study.contrasts, [*trials, *tuned_stand_ins(study)], done, study.cluster),
    )


def _teachers(configs: list[TrialConfig]) -> list[str]:
    if not configs:
        return []
    from limo_ablate.sweep.plan.teachers import teacher_lines  # with all stages of a trial: a second

    return teacher_lines(configs)


def _sequential(study: Study) -> Sequential | None:
    if study.stop is None:
        return None
    from limo_ablate.analysis.sequential import expected_seeds, nominal, shared_alpha  # scipy

    expected, fixed = expected_seeds(study.stop, shared_alpha(study.contrasts))
    looks = range(len(planned(study.stop)))
    return Sequential(expected, fixed, [nominal(study.stop, study.contrasts, look) for look in looks])


def _used(rows: Sequence[FrozenTrial], trials: Sequence[PlannedTrial]) -> tuple[Use, float]:
    """What is spent so far, and seconds in which trials ran."""
    if not rows:
        return Use(), 0.0
    from limo_ablate.sweep.budget_guard import spent
    from limo_ablate.sweep.ledger.ledger import histories, seconds_run  # optuna

    return spent(histories(rows), trials), seconds_run(rows, time.time())


def _done(folder: Path, trials: Sequence[PlannedTrial], rows: Sequence[FrozenTrial]) -> dict[str, Path]:
    """Id -> folder of each trial that a sweep would not run: pruned, or with a result that is not stale."""
    if not rows:
        return {}
    from limo_ablate.analysis.results import Results
    from limo_ablate.sweep.ledger.ledger import histories  # optuna

    found, results = histories(rows), Results(folder)
    return {
        trial.id: folder / "trials" / trial.folder
        for trial in trials
        if (trial.id in found and found[trial.id].pruned) or results.why_not(trial) is None
    }


def _rows(study: Study, folder: Path) -> list[FrozenTrial]:
    """Rows of the study's ledger; none, and no ledger is created, where it has never been run."""
    if not (folder / "study.yaml").exists():
        return []
    from limo_ablate.sweep.ledger.ledger import LEDGER, Ledger  # optuna

    return list(Ledger(study.ledger or folder / LEDGER, study.name).rows())


def _block_plans(study: Study, items: Sequence[ScheduledTrial]) -> list[BlockPlan]:
    by_block: dict[str, list[ScheduledTrial]] = defaultdict(list)
    for item in items:
        by_block[item.block].append(item)
    return [_block_plan(block, by_block[block.name]) for block in study.blocks]


def _block_plan(block: Block, own: Sequence[ScheduledTrial]) -> BlockPlan:
    left = [item.forecast for item in own if not item.done]
    work = sum((forecast.use for forecast in left), Use())
    return BlockPlan(
        name=block.name,
        design=f"{block.design}, tuned" if block.tune else block.design,
        trials=len(own),
        seeds=len({item.seed for item in own}),
        done=sum(item.done for item in own),
        longest=max((item.forecast.seconds for item in own), default=0.0),
        left=work,
        spread=sum(forecast.use.device_seconds * forecast.spread for forecast in left)
        / (work.device_seconds or 1.0),
    )


def _pools(
    study: Study,
    left: Sequence[ScheduledTrial],
    configs: Sequence[TrialConfig],
    used: Use,
    ran: float,
    machines: Sequence[int] | None,
) -> list[DevicePool]:
    """GPUs and cores apart; without `machines`, those that this machine has, or else that the widest trial
    needs."""
    pools, slots = list[DevicePool](), configs[0].launch.slots
    source: Source
    for gpu in (True, False):
        if not (own := [item for item in left if item.gpu == gpu]):
            continue
        widest = max(item.forecast.devices for item in own)
        available = slots * widest if slots else len(visible_gpus()) if gpu else available_cores()
        nodes = max(item.forecast.hardware.nodes for item in own)
        if machines:
            source, pool = "given", list(machines)
        elif nodes == 1 and available >= widest:
            source, pool = "here", [available]
        else:
            each = max(item.forecast.devices // item.forecast.hardware.nodes for item in own)
            source, pool = "assumed", [each] * nodes
        timetable = schedule(in_queue_order(own, all_seeds(study)), pool, study.budget, used, ran)
        pools.append(DevicePool(gpu, pool, source, timetable))
        used = sum((item.forecast.use for item in timetable.run), used)
    return pools
