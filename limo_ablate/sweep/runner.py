"""The runner: takes what waits in the queue and runs it on this machine's devices.

    prepare (one job for each base model) ──▶ its trials, in the queue's order ──▶ ledger

No trial waits for another. Several runners may work on one study: each ends what hangs, tries again what
failed, gives back what was asked to end, and leaves neither processes nor running rows behind.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

from limo_ablate.core.errors import UserError
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.bases import Base, Bases
from limo_ablate.sweep.budget_guard import Purse
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.ledger.queue import Queue, Todo
from limo_ablate.sweep.live import REFRESH_SECONDS, Board, Row
from limo_ablate.sweep.outcome import Outcomes
from limo_ablate.sweep.polling import Looks
from limo_ablate.sweep.processes import Interrupts, end
from limo_ablate.sweep.pruners import Pruners
from limo_ablate.sweep.running import Running
from limo_ablate.sweep.slots import Devices
from limo_ablate.sweep.worker import BROKEN, DISK_FULL, Job, end_workers
from limo_ablate.trial.config import LaunchConfig, TrialConfig


class LeaseLost(Exception):
    """This runner stood still for so long that others may have taken its trials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """What a sweep calls, as `module:function`, and what the fork server imports ahead for its workers."""

    trial: str = "limo_ablate.trial.run:run_trial"
    """(TrialConfig, folder, TrialLabels); leaves metrics.json in the folder."""
    prepare: str = "limo_ablate.trial.run:prepare_base"
    """(TrialConfig); makes the base model."""
    report: str = "limo_ablate.report.page:write_report"
    """(study's folder) -> the page; called in the end, by the sweep itself."""
    preload: tuple[str, ...] = ("limo_ablate.sweep.warm", "?limo_ablate.trial.track.run")
    """As `preload.VARIABLE` has them; tracking may be broken, and says so itself."""


@dataclass(kw_only=True)
class Runner:
    study: str
    folder: Path
    queue: Queue
    lease: Lease
    launch: LaunchConfig
    devices: Devices
    board: Board
    interrupts: Interrupts
    purse: Purse
    pruners: Pruners
    jobs: Jobs
    stays: bool
    """Whether it waits for trials that run in other runners: they may come back."""
    trials: int | None = None
    """It leaves after so many attempts; None: when nothing waits."""
    not_run: list[PlannedTrial] = field(default_factory=list, init=False)
    """Trials that the budget did not allow."""
    _running: dict[int, Running] = field(default_factory=dict, init=False)
    """By the worker's sentinel."""
    _bases: Bases = field(default_factory=Bases, init=False)
    _claims: int = field(default=0, init=False)
    _warm: bool = field(default=False, init=False)
    _looks: Looks = field(default_factory=Looks, init=False)
    _starting: Todo | None = field(default=None, init=False)
    """Claimed, and not yet running."""
    _seen_all: bool = field(default=False, init=False)
    """Whether nothing has ended since the last look at the queue."""

    def __post_init__(self) -> None:
        self._outcomes = Outcomes(self.folder, self.queue, self.launch, self.board, self.purse)

    def run(self) -> None:
        """Until nothing is left. However it ends, no process stays and no trial is left as running.

        Raises UserError when no trial can run here, LeaseLost, KeyboardInterrupt.
        """
        try:
            while self._step():
                pass
        except LeaseLost:
            end_workers([running.worker for running in self._running.values()], grace=0)
            end(self.lease.id, grace=0)
            raise
        except BaseException:
            self._abandon()
            raise

    @property
    def failed(self) -> int:
        """Trials that this runner gave up."""
        return self._outcomes.given_up

    def _step(self) -> bool:
        """Starts what can start, waits for what ends; False when nothing is left to do."""
        self._look()
        self._fill()
        if not self._running and not self._waits():
            if self._seen_all or self._leaving:
                return False
            self._looks.at_once()
            return True
        self.board.show(self._rows())
        with self.interrupts.window():
            ended = wait(list(self._running), timeout=REFRESH_SECONDS)
        for sentinel in ended:
            assert isinstance(sentinel, int)
            self._settle(sentinel)
        self._watch()
        return True

    def _look(self) -> None:
        """Looks at the queue again when it is time to."""
        if self.lease.lost():
            raise LeaseLost
        if self._looks.due(empty=not self.queue.todo and not self._leaving):
            self.queue.refresh()
            self.purse.look()
            self.pruners.learn(self.queue.trials)
            self._looks.looked(empty=not self.queue.todo)
            self._seen_all = True
            self.board.count(total=self.queue.total, done=self.queue.done, elsewhere=self.queue.elsewhere)

    @property
    def _leaving(self) -> bool:
        return self.queue.outdated or (self.trials is not None and self._claims >= self.trials)

    def _waits(self) -> bool:
        """Whether there may be more to do though nothing runs here."""
        if self._leaving:
            return False
        later = any(not self._outcomes.due(todo) for todo in self.queue.todo)
        return later or (self.stays and self.queue.elsewhere > 0)

    def _fill(self) -> None:
        """Starts what fits on the free devices."""
        if self.stays:
            self._give_up_baseless()
        while not self._leaving:
            waiting = self._startable()
            place = self.devices.choose([(key_of(what), config_of(what).hardware) for what in waiting])
            if place is None:
                return
            what = waiting[place]
            if isinstance(what, Base):
                self._start(what)
            elif self.purse.claim(what, self._at_work()):
                self._claims += 1
                self._start(what)

    def _give_up_baseless(self) -> None:
        """Fails the trials whose base model could not be made here; a `join` leaves them to the others."""
        for todo in list(self.queue.todo):
            base = self._bases.of(todo.trial.id, todo.trial.config)
            if base and base.state == "failed" and self.queue.claim(todo):
                why = f"its base model could not be made: {base.reason}"
                log = self.folder / "bases" / base.name / "trial.log"
                self._outcomes.fail(todo, why, log, 0.0, 0, again=False)

    def _startable(self) -> list[Todo | Base]:
        """What may start now, in order: the base models that the trials wait for, then the trials."""
        due = [todo for todo in self.queue.todo if self._outcomes.due(todo)]
        bases = self._bases.missing((todo.trial.id, todo.trial.config) for todo in due)
        ready = [todo for todo in due if self._bases.ready(todo.trial.id, todo.trial.config)]
        running = self._at_work()
        allowed = [todo for todo in ready if self.purse.allows(todo.trial, running)]
        self.not_run = [todo.trial for todo in ready if todo not in allowed]
        return [*bases, *allowed]

    def _at_work(self) -> list[tuple[PlannedTrial, float]]:
        """Trials that run here, each with the seconds it has run."""
        return [(r.what.trial, r.seconds) for r in self._running.values() if isinstance(r.what, Todo)]

    def _start(self, what: Todo | Base) -> None:
        config = config_of(what)
        if isinstance(what, Todo):
            self._starting, folder = what, self._outcomes.begin(what)
            job = Job(self.jobs.trial, (config, folder, what.trial.labels(self.study)))
        else:
            what.state, folder = "making", self.folder / "bases" / what.name
            job = Job(self.jobs.prepare, (config,))
        slot = self.devices.take(config.hardware)
        # the first start waits for seconds, until the fork server has imported the stack
        with nullcontext() if self._warm else self.interrupts.window():
            running = Running.start(what, job, slot, folder, f"{self.lease.id}/{key_of(what)}")
        self._warm, self._starting = True, None
        self._running[running.worker.sentinel] = running

    def _settle(self, sentinel: int) -> None:
        """Records the end of a job and frees its devices."""
        running = self._running.pop(sentinel)
        self._seen_all = False
        if not self.queue.todo:
            self._looks.at_once()
        code, reason = running.result()
        self.devices.give(running.slot)
        if isinstance(running.what, Base):
            self._outcomes.record_base(running, running.what, code, reason)
        else:
            self._outcomes.record(running, running.what, code, reason)
        if code in (BROKEN, DISK_FULL):
            raise UserError(f"no trial can run here: {reason}" if code == BROKEN else str(reason))

    def _watch(self) -> None:
        """Ends the trials that stand still, and those that a pruner gives up."""
        for running in self._running.values():
            limit = self.launch.hang_seconds
            if running.ending:
                continue
            if limit is not None and running.stands_still(limit):
                where = running.told() or "before it told anything"
                running.kill(f"it stood still for {limit:g} s: no progress and nothing in its log ({where})")
            elif isinstance(running.what, Todo) and self.pruners.gives_up(running.what.trial):
                running.pruned = True
                running.kill("pruned")

    def _rows(self) -> list[Row]:
        running = sorted(self._running.values(), key=lambda running: running.slot.index)
        return [*(one.row() for one in running), *self._outcomes.waiting()]

    def _abandon(self) -> None:
        """Ends all jobs; a trial whose result made it to the disk is finished, the others wait again.

        Where the ledger can't be told, for it is locked or the disk is full, the next runner finds this one
        dead, and does so.
        """
        self.interrupts.leave()
        if self._running:
            grace = self.launch.grace_seconds
            with suppress(OSError):  # the terminal may be gone
                self.board.say(
                    f"ending {len(self._running)} jobs; they have {grace:g} s to write a checkpoint"
                )
        end_workers([running.worker for running in self._running.values()], self.launch.grace_seconds)
        end(self.lease.id, grace=0)
        with suppress(OSError, KeyboardInterrupt):
            for running in self._running.values():
                if isinstance(running.what, Todo):
                    self._outcomes.give_back(running, running.what)
            if self._starting:
                self.queue.release(self._starting)


def config_of(what: Todo | Base) -> TrialConfig:
    return what.trial.config if isinstance(what, Todo) else what.config


def key_of(what: Todo | Base) -> str:
    return what.trial.id if isinstance(what, Todo) else what.key
