"""`launch=slurm`: a study's trials run in Slurm jobs, and this command submits them and follows.

    jobs: trial     an array, one trial a task, at most `workers` tasks at the same time
    jobs: worker    `workers` long-lived jobs that take one trial after the other, side by side where they fit

The command runs no trial. It queues trials and submits as many jobs as there is work for, never so that more
than `workers` run, until every trial is finished or given up: jobs that failed or vanished are replaced, and
a second call counts what the first one submitted. Interrupted, it leaves the jobs alone.
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
    Live,
    SlurmAway,
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
from limo_ablate.sweep.live import last_line
from limo_ablate.sweep.session import RunnerOptions, Session
from limo_ablate.trial.config import LaunchConfig

__all__ = ["SlurmLauncher", "job_lines"]

POLL_SECONDS = 5.0
"""Between two looks at squeue and the ledger: quick for a person, no load for Slurm's controller."""
ARRAY = 1000
"""Most tasks of one array: Slurm's default `MaxArraySize` allows 1001. The rest follow as these end."""
LOST = 3
"""Submissions in a row whose jobs ended without settling any attempt, after which something must be wrong."""


class SlurmLauncher:
    def __init__(self, session: Session) -> None:
        self._batch = batch_of(session.folder, session.launch, session.hardware)

    def check(self) -> None:
        """Raises UserError for what no job could run with, and where there is no Slurm."""
        parameters(self._batch)
        check_slurm(self._batch.name)

    def side_by_side(self) -> int:
        return self._batch.slurm.workers

    def run(
        self, queue: Queue, budget_guard: BudgetGuard, lease: Lease, options: RunnerOptions
    ) -> Sequence[PlannedTrial]:
        """Follows the study to its end: all trials finished, given up or beyond the budget.

        Raises UserError for what Slurm refuses and for jobs that end without doing anything,
        KeyboardInterrupt with what to say about the jobs.
        """
        try:
            _Follower(self._batch, queue, budget_guard, options.console).follow(options.interrupts)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(
                "the jobs go on without this command, and the same command follows them again; "
                f"to end them: scancel --name={self._batch.name}"
            ) from error
        return [queued.trial for queued in queue.waiting]


def batch_of(folder: Path, launch: LaunchConfig, hardware: Sequence[HardwareConfig]) -> Batch:
    """What the jobs of the study in `folder` ask for."""
    folder = folder.resolve()
    assert launch.slurm is not None
    command = join_command(folder, launch.slurm)
    return Batch(folder=folder, launch=launch, hardware=tuple(dict.fromkeys(hardware)), command=command)


def tasks_needed(jobs: str, workers: int, waiting: int, running: int, live: Sequence[Live]) -> int:
    """How many jobs to submit, given how many trials wait and run, and the jobs there are.

    `live` was looked at before the trials: a job that ends in between is rather counted twice than not.
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
    _said: str = ""
    _settled: int = -1
    """The most attempts that were seen finished or failed."""
    _lost: int = 0
    _told: set[str] = field(default_factory=set)
    """Trials given up whose reason was printed."""

    def follow(self, interrupts: Interrupts) -> None:
        while True:
            try:
                live = live_jobs(self.batch.name)
                self.queue.refresh()
                self.budget_guard.refresh()
                if not self._waiting + self.queue.elsewhere:
                    break
                self._submit(live)
                self._say(live)
            except SlurmAway as error:
                self._print_news(f"Slurm does not answer, waiting for it: {error}")
            with interrupts.window():
                time.sleep(POLL_SECONDS)
        self._say(live)

    @property
    def _waiting(self) -> int:
        """Trials that a job could take now."""
        affordable = [queued for queued in self.queue.waiting if self.budget_guard.allows(queued.trial, [])]
        return len(affordable) + (self.queue.missing if affordable else 0)

    def _submit(self, live: Sequence[Live]) -> None:
        slurm = self.batch.slurm
        count = tasks_needed(slurm.jobs, slurm.workers, self._waiting, self.queue.elsewhere, live)
        if not count:
            return
        self._count_lost()
        submitted = submit(self.batch, count, slurm.workers - len(live))
        logs = log_of(self.batch.folder, f"{submitted.job}_*")
        self._print(f"submitted job {submitted.job}: {count} tasks; logs: {logs}")

    def _count_lost(self) -> None:
        """Raises UserError when the jobs submitted so far come to nothing, again and again."""
        settled = (
            self.queue.done
            + len(self.queue.given_up)
            + sum(queued.attempt - 1 for queued in self.queue.waiting)
        )
        self._lost = 0 if settled > self._settled else self._lost + 1
        self._settled = max(settled, self._settled)
        if self._lost >= LOST:
            log = log_of(self.batch.folder, f"{read_submitted(self.batch.folder)[-1].job}_0")
            raise UserError(
                f"{LOST} submissions to Slurm ended without settling a trial; the last job's log, {log}, "
                f"ends with: {last_line(log) or 'nothing'}"
            )

    def _say(self, live: Sequence[Live]) -> None:
        for trial, reason in self.queue.given_up:
            if trial.name not in self._told:
                self._print(f"{trial.name} FAILED, given up: {reason}")
            self._told.add(trial.name)
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
        """Unless it was the last news too."""
        if line != self._said:
            self._print(line)
        self._said = line

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)
