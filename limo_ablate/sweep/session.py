"""A study opened for running: what `sweep`, `join`, `status` and `retry` have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from optuna.trial import FrozenTrial
from rich.console import Console

from limo_ablate.core.files import check_links
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.permissions import use_umask
from limo_ablate.study.design import Study
from limo_ablate.study.planned import PlannedTrial, planned_trials
from limo_ablate.study.search.search import Search, searches
from limo_ablate.sweep.budget_guard import BudgetGuard
from limo_ablate.sweep.interrupts import Interrupts
from limo_ablate.sweep.kept_plan import plan_digest
from limo_ablate.sweep.ledger.declaration import check_folder
from limo_ablate.sweep.ledger.journal import PATIENCE
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.ledger.ledger import LEDGER, Ledger, histories
from limo_ablate.sweep.ledger.queue import Queue
from limo_ablate.sweep.ledger.reader import LedgerReader
from limo_ablate.sweep.ledger.same_failures import SameFailures
from limo_ablate.sweep.live import Board
from limo_ablate.sweep.looks import Looks
from limo_ablate.sweep.machines import Machines
from limo_ablate.sweep.plan.checks import check_study
from limo_ablate.sweep.plan.cost import Costs
from limo_ablate.sweep.runner import Commands, Pruners, Runner
from limo_ablate.trial.compose import compose
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.launch_config import LaunchConfig


@dataclass(frozen=True, slots=True)
class Session:
    study: Study
    folder: Path
    launch: LaunchConfig
    """Launch configuration of this runner; that of a `join` may differ from the study's."""
    trials: Sequence[PlannedTrial]
    """The trials known beforehand."""
    searches: Sequence[Search]
    hardware: Sequence[HardwareConfig]
    """The distinct hardware configurations of all trials."""
    digest: str | None
    """Of what the trials were composed from, see `plan_digest`."""

    @classmethod
    def of(cls, study: Study, folder: Path | None = None) -> Session:
        """Composes the study's trials. Raises UserError before anything is written, and for a link out of its
        folder."""
        digest = plan_digest(study)
        trials, own_searches = planned_trials(study), searches(study)
        check_study(study, trials)
        shared = (*study.overrides, *study.blocks[0].overrides)
        configs: list[TrialConfig] = [trial.config for trial in trials] or [compose(shared)]
        folder = folder or Path(configs[0].paths.studies) / study.name
        check_links(folder)
        use_umask(configs[0].paths.umask)
        return cls(
            study,
            folder,
            configs[0].launch,
            trials,
            own_searches,
            list({config.hardware: None for config in configs}),
            digest if digest == plan_digest(study) else None,
        )

    def ledger(self, pause: Callable[[float], None] = time.sleep) -> Ledger:
        """The study's ledger, created if needed; `pause`: as for Ledger."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ledger = Ledger(self.study.ledger or self.folder / LEDGER, self.study.name, pause=pause)
        if self.study.ledger:
            check_folder(ledger, self.folder)
        return ledger

    def reader(self, patience: float = PATIENCE) -> LedgerReader:
        """The ledger for reading only, which creates nothing; `patience`: as for LedgerReader."""
        return ledger_reader(self.study, self.folder, patience)

    @property
    def declared(self) -> bool:
        """Whether the study has been run before, so that it has a ledger."""
        return (self.folder / "study.yaml").exists()

    def finished(self, rows: Sequence[FrozenTrial]) -> bool:
        """Whether nothing is left to run, according to the ledger's rows."""
        by_trial = histories(rows)
        ended = [by_trial.get(trial.id) for trial in all_trials(self, rows)]
        total = len(ended) if not self.searches else len(self.trials) + sum(one.n for one in self.searches)
        done = sum(history is not None and (history.done or history.pruned) for history in ended)
        return done == total and not Looks(self.study, self.trials, self.folder).due()

    def budget_guard(self, queue: Queue, costs: Costs) -> BudgetGuard:
        return BudgetGuard(queue, self.study.budget, costs.seconds)

    def queue(
        self,
        ledger: Ledger,
        lease: Lease,
        costs: Costs,
        same_failures: SameFailures,
        *,
        slots: int,
        reopen: bool = False,
    ) -> Queue:
        """The queue of this runner, the longest forecast first, refreshed.

        `slots`: how many trials the launcher runs at the same time; `reopen`: trials that were given up get
        the attempts that are left.
        """
        costs.learn(ledger.rows(), self.trials, self.folder)
        queue = Queue(
            ledger,
            self.trials,
            self.folder,
            lease.id,
            attempts=self.launch.attempts,
            order_key=lambda trial: -costs.seconds(trial),
            searches=self.searches,
            slots=slots,
            reopen=reopen,
            same_failures=same_failures,
            looks=Looks(self.study, self.trials, self.folder) if self.study.stop else None,
        )
        queue.refresh()
        return queue

    def work(
        self,
        queue: Queue,
        budget_guard: BudgetGuard,
        lease: Lease,
        options: RunnerOptions,
        machines: Machines,
    ) -> Runner:
        """Runs what waits on these machines; returns the runner, which knows the outcome.

        Raises what Runner.run raises.
        """
        machines.check(self.hardware)
        threads = max(hardware.threads for hardware in self.hardware)
        with (
            machines.opened(options.commands.preload, lease.id, threads),
            Board(options.console, total=queue.total, done=queue.done, quiet=options.quiet) as board,
        ):
            runner = Runner(
                study=self.study.name,
                folder=self.folder,
                queue=queue,
                lease=lease,
                launch=self.launch,
                machines=machines,
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
    """How a runner works, beyond the launch configuration."""

    commands: Commands
    console: Console
    interrupts: Interrupts
    waits_for_others: bool
    """Whether it stays while trials run in other runners."""
    quiet: bool = False
    """No table, and no line of a trial that is finished."""
    max_attempts: int | None = None
    """It leaves after so many attempts; None: when nothing waits."""


def ledger_reader(study: Study, folder: Path, patience: float = PATIENCE) -> LedgerReader:
    return LedgerReader(study.ledger or folder / LEDGER, study.name, patience)


def all_trials(session: Session, rows: Sequence[FrozenTrial]) -> list[PlannedTrial]:
    """The trials known beforehand, and those that searches have proposed so far, from the ledger's rows."""
    if not session.searches:
        return Looks(session.study, session.trials, session.folder).released()
    from limo_ablate.study.search.propose import all_proposed

    return [*session.trials, *all_proposed(session.searches, rows)]
