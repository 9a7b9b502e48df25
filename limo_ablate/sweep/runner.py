"""The runner: claims trials from the queue and runs them on its machines.

    base models (each made once) ──▶ their trials, in the queue's order ──▶ ledger

No trial waits for another. Several runners may work on one study. Each kills trials that hang, retries those
that failed, gives back those that were asked to end, and leaves neither processes nor running rows behind.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

from limo_ablate.analysis.results import read_metrics
from limo_ablate.core.errors import UserError
from limo_ablate.core.text import counted
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.attempts import BASES, Base, Bases, Outcomes, RunningAttempt, config_of, key_of
from limo_ablate.sweep.budget_guard import BudgetGuard
from limo_ablate.sweep.interrupts import Interrupts
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.ledger.queue import Queue, QueuedTrial
from limo_ablate.sweep.live import REFRESH_SECONDS, Board, Row
from limo_ablate.sweep.machines import Machines
from limo_ablate.sweep.worker import BROKEN, DISK_FULL, LOG, Call, end_workers
from limo_ablate.trial.launch_config import LaunchConfig

if TYPE_CHECKING:
    from limo_ablate.study.search.pruning import Pruner
    from limo_ablate.study.search.search import Search

POLL_SECONDS = 5.0
"""Interval at which a runner refreshes its view of the queue."""
SHORTEST_POLL_SECONDS = 0.5
"""The first interval while nothing waits that it could take; doubled after each refresh that finds
nothing."""


class LeaseLost(Exception):
    """This runner was suspended for so long that others may have taken over its trials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """The functions that a sweep calls, as `module:function`, and what the fork server imports ahead for
    them."""

    trial: str = "limo_ablate.trial.run:run_trial"
    """(TrialConfig, folder, TrialLabels); leaves metrics.json in the folder."""
    prepare: str = "limo_ablate.trial.run:prepare_base"
    """(TrialConfig); makes the base model."""
    report: str = "limo_ablate.report.page:write_report"
    """(study's folder) -> the page, and a line for each part that could not be drawn; called at the end, by
    the sweep itself."""
    checked: bool = True
    """Whether the trials are checked before they start for what the functions above need."""
    preload: tuple[str, ...] = ("limo_ablate.sweep.warm", "?limo_ablate.trial.track.run")
    """Modules, as `preload.VARIABLE` lists them; a trial itself reports that tracking can't be imported."""


@dataclass(slots=True)
class QueuePolling:
    """When to refresh the queue: at a fixed interval, sooner while there is nothing to claim."""

    clock: Callable[[], float] = time.monotonic
    _last: float = field(default=-math.inf, init=False)
    _pause: float = field(default=SHORTEST_POLL_SECONDS, init=False)

    def is_due(self, *, empty: bool) -> bool:
        """`empty`: nothing waits that this runner could claim."""
        return self.clock() - self._last > (self._pause if empty else POLL_SECONDS)

    def polled(self, *, empty: bool) -> None:
        """The queue has just been refreshed."""
        self._last = self.clock()
        self._pause = min(2 * self._pause, POLL_SECONDS) if empty else SHORTEST_POLL_SECONDS

    def make_due(self) -> None:
        """Something has ended, so more may wait now."""
        self._last, self._pause = -math.inf, SHORTEST_POLL_SECONDS


@dataclass
class Pruners:
    """The pruners of a study's searches, fed with what trials report while they run."""

    searches: Sequence[Search]
    trials: Path
    """Folder of the trials' folders."""
    _pruners: dict[str, tuple[Search, Pruner]] = field(default_factory=dict, init=False)
    _reported: dict[str, int] = field(default_factory=dict, init=False)
    """Trial id -> number of reports when its pruner was last asked."""
    _learned: set[str] = field(default_factory=set, init=False)
    """Ids of the trials whose results the pruners know."""

    def __post_init__(self) -> None:
        if not self.searches:
            return
        from limo_ablate.study.search.pruning import Pruner  # optuna

        self._pruners = {search.name: (search, Pruner(search)) for search in self.searches if search.pruner}

    def learn(self, trials: Sequence[PlannedTrial]) -> None:
        """Adds the results of the trials that are finished by now, in whatever runner."""
        for trial in trials:
            if (
                trial.proposal is None
                or trial.proposal.search not in self._pruners
                or trial.id in self._learned
            ):
                continue
            if metrics := read_metrics(self.trials / trial.folder, trial.key):
                search, pruner = self._pruners[trial.proposal.search]
                pruner.add_result(trial.proposal.number, self._reports(trial), search.values(metrics)[0])
                self._learned.add(trial.id)

    def should_prune(self, trial: PlannedTrial) -> bool:
        """Whether to end `trial`, which is running."""
        if trial.proposal is None or trial.proposal.search not in self._pruners:
            return False
        reports = self._reports(trial)
        if len(reports) <= self._reported.get(trial.id, 0):
            return False
        self._reported[trial.id] = len(reports)
        return self._pruners[trial.proposal.search][1].should_prune(trial.proposal.number, reports)

    def _reports(self, trial: PlannedTrial) -> dict[int, float]:
        from limo_ablate.study.search.pruning import read_reports  # optuna

        return read_reports(self.trials / trial.folder)


@dataclass(kw_only=True)
class Runner:
    study: str
    folder: Path
    queue: Queue
    lease: Lease
    launch: LaunchConfig
    machines: Machines
    board: Board
    interrupts: Interrupts
    budget_guard: BudgetGuard
    pruners: Pruners
    commands: Commands
    waits_for_others: bool
    """Whether it stays while trials run in other runners: they may come back to the queue."""
    max_attempts: int | None = None
    """It leaves after so many attempts; None: when nothing waits."""
    not_run: list[PlannedTrial] = field(default_factory=list, init=False)
    """Trials that the budget did not allow."""
    _running: dict[int, RunningAttempt] = field(default_factory=dict, init=False)
    """Sentinel of the call -> its attempt."""
    _bases: Bases = field(default_factory=Bases, init=False)
    _claims: int = field(default=0, init=False)
    _server_is_up: bool = field(default=False, init=False)
    _polling: QueuePolling = field(default_factory=QueuePolling, init=False)
    _starting: QueuedTrial | None = field(default=None, init=False)
    """A trial that is claimed and does not run yet."""
    _up_to_date: bool = field(default=False, init=False)
    """Whether nothing has ended since the queue was last refreshed."""

    def __post_init__(self) -> None:
        self._outcomes = Outcomes(self.folder, self.queue, self.launch, self.board, self.budget_guard)

    def run(self) -> None:
        """Runs until nothing is left. However it ends, no process stays and no row is left as running.

        Raises UserError when no trial can run here, LeaseLost, KeyboardInterrupt.
        """
        try:
            while self._step():
                pass
        except LeaseLost:
            end_workers([running.call for running in self._running.values()], grace=0)
            self.machines.end_leftovers(self.lease.id)
            raise
        except BaseException:
            self._abandon()
            raise

    @property
    def failed(self) -> int:
        """Number of trials that this runner gave up."""
        return self._outcomes.given_up

    def _step(self) -> bool:
        """Starts what can start and waits for what ends; False when nothing is left to do."""
        self._poll()
        self._fill_slots()
        if not self._running and not self._may_get_work():
            if self._up_to_date or self._leaving:
                return False
            self._polling.make_due()
            return True
        self.board.show(self._rows())
        with self.interrupts.window():
            ended = wait(list(self._running), timeout=REFRESH_SECONDS)
        for sentinel in ended:
            assert isinstance(sentinel, int)
            self._settle(sentinel)
        self._end_hung_and_pruned()
        return True

    def _poll(self) -> None:
        """Refreshes the view of the queue when it is time to."""
        if self.lease.lost():
            raise LeaseLost
        if self._polling.is_due(empty=not self.queue.waiting and not self._leaving):
            self.queue.refresh()
            self.budget_guard.refresh()
            self.pruners.learn(self.queue.trials)
            self._polling.polled(empty=not self.queue.waiting)
            self._up_to_date = True
            self.board.count(total=self.queue.total, done=self.queue.done, elsewhere=self.queue.elsewhere)

    @property
    def _leaving(self) -> bool:
        return self.queue.closed or (self.max_attempts is not None and self._claims >= self.max_attempts)

    def _may_get_work(self) -> bool:
        """Whether to stay although nothing runs here."""
        if self._leaving:
            return False
        later = any(not self._outcomes.is_due(queued) for queued in self.queue.waiting)
        return later or (self.waits_for_others and self.queue.elsewhere > 0)

    def _fill_slots(self) -> None:
        """Starts what fits on the free devices."""
        if self.waits_for_others:
            self._fail_without_base()
        while not self._leaving:
            startable = self._startable()
            index = self.machines.choose([(key_of(work), config_of(work).hardware) for work in startable])
            if index is None:
                return
            work = startable[index]
            if isinstance(work, Base):
                self._start(work)
            elif self.budget_guard.claim(work, self._running_trials()) and not self._outcomes.adopt(work):
                self._claims += 1
                self._start(work)

    def _fail_without_base(self) -> None:
        """Fails the trials whose base model could not be made here; a `join` leaves them to other runners."""
        for queued in list(self.queue.waiting):
            base = self._bases.find(queued.trial.id, queued.trial.config)
            if base and base.state == "failed" and self.queue.claim(queued):
                why = f"its base model could not be made: {base.reason}"
                log = self.folder / BASES / base.name / LOG
                self._outcomes.fail(queued, why, log, 0.0, 0, again=False)

    def _startable(self) -> list[QueuedTrial | Base]:
        """What may start now, in order: the base models that trials wait for, then the trials."""
        due = [queued for queued in self.queue.waiting if self._outcomes.is_due(queued)]
        bases = self._bases.missing((queued.trial.id, queued.trial.config) for queued in due)
        ready = [queued for queued in due if self._bases.ready(queued.trial.id, queued.trial.config)]
        running = self._running_trials()
        allowed = [queued for queued in ready if self.budget_guard.allows(queued.trial, running)]
        self.not_run = [queued.trial for queued in ready if queued not in allowed]
        return [*bases, *allowed]

    def _running_trials(self) -> list[tuple[PlannedTrial, float]]:
        """The trials that run here, each with the seconds it has run."""
        return [
            (running.work.trial, running.seconds)
            for running in self._running.values()
            if isinstance(running.work, QueuedTrial)
        ]

    def _start(self, work: QueuedTrial | Base) -> None:
        config = config_of(work)
        if isinstance(work, QueuedTrial):
            self._starting, folder = work, self._outcomes.begin(work)
            call = Call(self.commands.trial, (config, folder, work.trial.labels(self.study)))
        else:
            self.board.say(f"preparing base model {work.name}")
            work.state, folder = "making", self.folder / BASES / work.name
            call = Call(self.commands.prepare, (config,))
        # the first start waits for seconds, until the fork server has imported the stack
        with nullcontext() if self._server_is_up else self.interrupts.window():
            running = RunningAttempt.start(self.machines, work, call, folder, self.lease.id)
        self._server_is_up, self._starting = True, None
        self._running[running.call.sentinel] = running

    def _settle(self, sentinel: int) -> None:
        """Records the end of an attempt and frees its devices."""
        running = self._running.pop(sentinel)
        self._up_to_date = False
        code, reason = running.result()
        if code or not self.queue.waiting:  # a failure may stop the study: look before more is claimed
            self._polling.make_due()
        self.machines.release(running.slot)
        if isinstance(running.work, Base):
            self._outcomes.record_base(running, running.work, code, reason)
        else:
            self._outcomes.record(running, running.work, code, reason)
        if code in (BROKEN, DISK_FULL):
            raise UserError(f"no trial can run here: {reason}" if code == BROKEN else str(reason))

    def _end_hung_and_pruned(self) -> None:
        limit = self.launch.hang_seconds
        for running in self._running.values():
            if running.ending:
                continue
            if limit is not None and running.hangs(limit):
                where = running.progress or "before it reported anything"
                running.kill(f"it hung for {limit:g} s: no progress and nothing in its log ({where})")
            elif isinstance(running.work, QueuedTrial) and self.pruners.should_prune(running.work.trial):
                running.pruned = True
                running.kill("pruned")

    def _rows(self) -> list[Row]:
        running = sorted(self._running.values(), key=lambda running: running.slot.index)
        return [*(one.row() for one in running), *self._outcomes.waiting()]

    def _abandon(self) -> None:
        """Ends all attempts: trials whose result is on disk are finished, the others wait again.

        Where that can't be recorded, because the ledger is locked or the disk full, the next runner finds
        this one dead and does it.
        """
        self.interrupts.leave()
        if self._running:
            grace = self.launch.grace_seconds
            with suppress(OSError):  # the terminal may be gone
                self.board.say(
                    f"ending {counted(len(self._running), 'trial')}, with {grace:g} s to write a checkpoint"
                )
        end_workers([running.call for running in self._running.values()], self.launch.grace_seconds)
        self.machines.end_leftovers(self.lease.id)
        with suppress(OSError, KeyboardInterrupt):
            for running in self._running.values():
                if isinstance(running.work, QueuedTrial):
                    self._outcomes.give_back(running, running.work)
            if self._starting:
                self.queue.release(self._starting)
