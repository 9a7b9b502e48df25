"""`launch=slurm`: a study's trials run in Slurm jobs; this command submits them and follows.

    jobs: trial     an array, one trial a task, at most `workers` tasks at the same time
    jobs: worker    `workers` long-lived jobs that run one trial after the other, side by side where they fit

The command runs no trial. It queues trials and submits as many jobs as there is work for, so that at most
`workers` run, until every trial is finished or given up. Jobs that failed or vanished are replaced, and a
second call counts what the first one has submitted. When it is interrupted, the jobs continue.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.budget_guard import BudgetGuard
from limo_ablate.sweep.interrupts import Interrupts
from limo_ablate.sweep.launchers.slurm_jobs import (
    SlurmAway,
    SlurmJob,
    check_slurm,
    job_lines,
    live_jobs,
    log_of,
    read_submitted,
    submit,
)
from limo_ablate.sweep.launchers.slurm_script import Batch, join_command, parameters
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.ledger.queue import Queue
from limo_ablate.sweep.ledger.same_failures import PrintedReasons
from limo_ablate.sweep.live import last_line
from limo_ablate.sweep.session import RunnerOptions, Session
from limo_ablate.trial.launch_config import LaunchConfig

POLL_SECONDS = 5.0
"""Interval at which squeue and the ledger are read: fast enough for people, no load for Slurm's
controller."""
ARRAY = 1000
"""Most tasks of one array (Slurm's default `MaxArraySize` allows 1001). The rest follow as these end."""
MAX_LOST = 3
"""Submissions in a row whose jobs end without settling an attempt before something must be wrong."""


class SlurmLauncher:
    here = False

    def __init__(self, session: Session) -> None:
        self._batch = batch_of(session.folder, session.launch, session.hardware)

    def check(self) -> None:
        """Raises UserError for settings that no job could run with, and where there is no Slurm."""
        parameters(self._batch)
        check_slurm(self._batch.name)

    def side_by_side(self) -> int:
        return self._batch.slurm.workers

    def run(
        self, queue: Queue, budget_guard: BudgetGuard, lease: Lease, options: RunnerOptions
    ) -> Sequence[PlannedTrial]:
        """Follows the study to its end: all trials finished, given up or beyond the budget.

        Raises UserError when Slurm refuses the jobs and when they end without doing anything, and
        KeyboardInterrupt with a message about the jobs.
        """
        try:
            _Follower(self._batch, queue, budget_guard, options.console).follow(options.interrupts)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(
                "the jobs continue without this command; run the same command to follow them again; "
                f"to end them: scancel --name={self._batch.name}"
            ) from error
        return [queued.trial for queued in queue.waiting]

    @staticmethod
    def lines(folder: Path) -> Sequence[str]:
        return job_lines(folder)


def batch_of(folder: Path, launch: LaunchConfig, hardware: Sequence[HardwareConfig]) -> Batch:
    """What the jobs of the study in `folder` have in common."""
    folder = folder.resolve()
    assert launch.slurm is not None
    command = join_command(folder, launch.slurm)
    return Batch(folder=folder, launch=launch, hardware=tuple(dict.fromkeys(hardware)), command=command)


def tasks_needed(jobs: str, workers: int, waiting: int, running: int, live: Sequence[SlurmJob]) -> int:
    """Number of jobs to submit, given how many trials wait and run, and which jobs there are.

    `live` was read before the trials, so a job that ends in between is counted twice rather than not at all.
    """
    free = workers - len(live)
    if free <= 0:
        return 0
    if jobs == "worker":
        return max(0, min(free, waiting - sum(job.state == "PENDING" for job in live)))
    without_a_cell = max(0, len(live) - running)
    return max(0, min(ARRAY, waiting - without_a_cell))


@dataclass(slots=True)
class _Follower:
    batch: Batch
    queue: Queue
    budget_guard: BudgetGuard
    console: Console
    _last_news: str = ""
    _settled: int = -1
    """The largest number of attempts that were finished or failed."""
    _lost: int = 0
    """Submissions in a row that settled nothing."""
    _printed: set[str] = field(default_factory=set)
    """Names of the trials given up that were printed."""
    _reasons: PrintedReasons = field(default_factory=PrintedReasons)

    def follow(self, interrupts: Interrupts) -> None:
        while True:
            try:
                live = live_jobs(self.batch.name)
                self.queue.refresh()
                self.budget_guard.refresh()
                if not self._waiting + self.queue.elsewhere:
                    break
                self._submit(live)
                self._report(live)
            except SlurmAway as error:
                self._print_news(f"Slurm does not answer, waiting: {error}")
            with interrupts.window():
                time.sleep(POLL_SECONDS)
        self._report(live)

    @property
    def _waiting(self) -> int:
        """Number of trials that a job could run now."""
        affordable = [queued for queued in self.queue.waiting if self.budget_guard.allows(queued.trial, [])]
        return len(affordable) + (self.queue.missing if affordable else 0)

    def _submit(self, live: Sequence[SlurmJob]) -> None:
        slurm = self.batch.slurm
        count = tasks_needed(slurm.jobs, slurm.workers, self._waiting, self.queue.elsewhere, live)
        if not count:
            return
        self._count_lost()
        submitted = submit(self.batch, count, slurm.workers - len(live))
        logs = log_of(self.batch.folder, f"{submitted.job}_*")
        self._print(f"submitted job {submitted.job}: {count} tasks; logs: {logs}")

    def _count_lost(self) -> None:
        """Raises UserError when submissions have settled nothing, `MAX_LOST` times in a row."""
        settled = (
            self.queue.done
            + len(self.queue.given_up)
            + sum(queued.attempt - 1 for queued in self.queue.waiting)
        )
        self._lost = 0 if settled > self._settled else self._lost + 1
        self._settled = max(settled, self._settled)
        if self._lost >= MAX_LOST:
            log = log_of(self.batch.folder, f"{read_submitted(self.batch.folder)[-1].job}_0")
            raise UserError(
                f"{MAX_LOST} submissions to Slurm ended without settling a trial; the last job's log, {log}, "
                f"ends with: {last_line(log) or 'nothing'}"
            )

    def _report(self, live: Sequence[SlurmJob]) -> None:
        for trial, reason in self.queue.given_up:
            if trial.name not in self._printed:
                earlier = self._reasons.earlier(trial.name, reason)
                self._print(f"{trial.name} FAILED, given up: {earlier or reason}")
            self._printed.add(trial.name)
        states = Counter(
            f"{job.state.lower()} ({job.reason})" if job.state == "PENDING" else job.state.lower()
            for job in live
        )
        jobs = ", ".join(f"{count} {state}" for state, count in states.items()) or "none"
        trials = (
            f"[{self.queue.done}/{self.queue.total}] {self.queue.elsewhere} running, {self._waiting} waiting"
        )
        self._print_news(f"{trials}; jobs: {jobs}")

    def _print_news(self, line: str) -> None:
        """Prints the line unless it is the same as the last one."""
        if line != self._last_news:
            self._print(line)
        self._last_news = line

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)
