"""One runner at work on a study: what `sweep` and `join` have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from optuna.trial import FrozenTrial
from rich.console import Console

from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.study.design import Study
from limo_ablate.study.planned import PlannedTrial, planned_trials
from limo_ablate.study.search.search import Search, searches
from limo_ablate.sweep.budget_guard import BudgetGuard
from limo_ablate.sweep.interrupts import Interrupts
from limo_ablate.sweep.launchers.launcher import Launcher
from limo_ablate.sweep.ledger.journal import PATIENCE
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.ledger.ledger import LEDGER, Ledger, histories
from limo_ablate.sweep.ledger.queue import Queue
from limo_ablate.sweep.ledger.reader import LedgerReader
from limo_ablate.sweep.live import Board
from limo_ablate.sweep.plan.checks import check_study
from limo_ablate.sweep.plan.cost import Costs
from limo_ablate.sweep.runner import Commands, Pruners, Runner
from limo_ablate.sweep.slots import Devices
from limo_ablate.sweep.worker import fork_server
from limo_ablate.trial.compose import compose
from limo_ablate.trial.config import LAUNCHERS, LaunchConfig, TrialConfig


@dataclass(frozen=True, slots=True)
class Session:
    study: Study
    folder: Path
    launch: LaunchConfig
    """Of this runner: a `join` may have another than the study's."""
    found: Sequence[PlannedTrial]
    """The trials known beforehand."""
    searches: Sequence[Search]
    hardware: Sequence[HardwareConfig]
    """Of all trials, each once."""

    @classmethod
    def of(cls, study: Study, folder: Path | None = None) -> Session:
        """Composes the study's trials. Raises UserError before anything is written."""
        found, searching = planned_trials(study), searches(study)
        check_study(study, found)
        shared = (*study.overrides, *study.blocks[0].overrides)
        configs: list[TrialConfig] = [trial.config for trial in found] or [compose(shared)]
        return cls(
            study,
            folder or Path(configs[0].paths.studies) / study.name,
            configs[0].launch,
            found,
            searching,
            list({config.hardware: None for config in configs}),
        )

    def ledger(self, pause: Callable[[float], None] = time.sleep) -> Ledger:
        """`pause`: as of Ledger."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return Ledger(self.study.ledger or self.folder / LEDGER, self.study.name, pause=pause)

    def reading(self, patience: float = PATIENCE) -> LedgerReader:
        """The ledger for who only looks: nothing is made in the study's folder. `patience`: as of Reading."""
        return LedgerReader(self.study.ledger or self.folder / LEDGER, self.study.name, patience)

    @property
    def declared(self) -> bool:
        """Whether the study has been run before, so that it has a ledger."""
        return (self.folder / "study.yaml").exists()

    def finished(self, rows: Sequence[FrozenTrial]) -> bool:
        """Whether nothing is left to run, by the ledger's rows."""
        found = histories(rows)
        ended = [found.get(trial.id) for trial in all_trials(self, rows)]
        total = len(self.found) + sum(search.n for search in self.searches)
        return sum(history is not None and (history.done or history.pruned) for history in ended) == total

    @property
    def launcher(self) -> Launcher:
        """What starts this study's trials."""
        made: Launcher = LAUNCHERS.load(self.launch.executor)(self)
        return made

    def budget_guard(self, queue: Queue, costs: Costs) -> BudgetGuard:
        return BudgetGuard(queue, self.study.budget, costs.seconds)

    def queue(self, ledger: Ledger, lease: Lease, costs: Costs, *, reopen: bool = False) -> Queue:
        """The trials as this runner sees them, the longest forecast first, brought up to date.

        `reopen`: those that failed for good get the attempts that are left.
        """
        costs.learn(ledger.rows(), self.found)
        queue = Queue(
            ledger,
            self.found,
            self.folder,
            lease.id,
            attempts=self.launch.attempts,
            order_key=lambda trial: -costs.seconds(trial),
            searches=self.searches,
            slots=self.launcher.side_by_side(),
            reopen=reopen,
        )
        queue.refresh()
        return queue

    def work(self, queue: Queue, budget_guard: BudgetGuard, lease: Lease, options: RunnerOptions) -> Runner:
        """Runs what waits; returns the runner, which knows what came of it. Raises what Runner.run does."""
        devices = Devices(self.launch)
        devices.check(self.hardware)
        threads = max(hardware.threads for hardware in self.hardware)
        with (
            fork_server(options.commands.preload, lease.id, threads),
            Board(options.console, total=queue.total, done=queue.done) as board,
        ):
            runner = Runner(
                study=self.study.name,
                folder=self.folder,
                queue=queue,
                lease=lease,
                launch=self.launch,
                devices=devices,
                board=board,
                interrupts=options.interrupts,
                budget_guard=budget_guard,
                pruners=Pruners(self.searches, self.folder / "trials"),
                commands=options.commands,
                waits_for_others=options.waits_for_others,
                max_attempts=options.max_attempts,
            )
            runner.run()
        return runner


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerOptions:
    """How a runner works."""

    commands: Commands
    console: Console
    interrupts: Interrupts
    waits_for_others: bool
    """Whether it stays while trials run in other runners."""
    max_attempts: int | None = None
    """It leaves after so many attempts; None: when nothing waits."""


def all_trials(session: Session, rows: Sequence[FrozenTrial]) -> list[PlannedTrial]:
    """The trials known beforehand, and those that searches have proposed, by the ledger's rows."""
    if not session.searches:
        return list(session.found)
    from limo_ablate.study.search.search import known

    proposed = [
        trial
        for search in session.searches
        for trial in known(search, [row for row in rows if row.user_attrs.get("search") == search.name])
    ]
    return [*session.found, *proposed]
