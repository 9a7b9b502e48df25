"""The interface of a launcher, which starts the trials of a study on this machine or elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.budget_guard import BudgetGuard
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.ledger.queue import Queue
from limo_ablate.sweep.session import RunnerOptions, Session
from limo_ablate.trial.launch_config import LAUNCHERS


class Launcher(Protocol):
    """An entry of `limo_ablate.launchers` is a class with this interface, created with the `Session` of a
    sweep.

    A launcher runs no trial itself. It starts runners, which claim trials from the study's ledger: in this
    process (`session.work`, on `Machines` of its own where these are not this one), or as processes
    `limo-ablate join FOLDER` on any machine that sees the study's folder under the same path. The ledger
    decides how trials are distributed, retried and recorded, so the launcher affects no result and is in no
    key. `launch.options` holds its settings. Whichever it starts:

    - start: all that waits is run, at most `side_by_side` trials at a time, each with the devices that
      its hardware asks for.
    - watch: the end of a process, a runner or a job is noticed, however it came about; `run` returns once
      nothing is left.
    - cancel: on an interrupt, what this process runs ends, with all that it has started. Where jobs go on
      by themselves, the message says so and how to end them.
    - preempt: who is asked to end (SIGTERM) gets `launch.grace_seconds` to write a checkpoint; its trial
      waits again, goes on from there, and no attempt is counted.
    - lose: a machine that is gone, or a runner that was killed, takes no trial with it: they wait again
      within about a minute, and no attempt is counted.
    - logs: a trial's own log is in its folder, while it runs too; `lines` says where others are.
    - clean up: however `run` ends, no process and no running row is left but those of jobs that go on.

    `tests/sweep/launchers/test_contract.py` holds each of ours to this.
    """

    here: ClassVar[bool]
    """Whether trials run on this machine, which is checked for their GPUs then."""

    def __init__(self, session: Session) -> None: ...

    def check(self) -> None:
        """Raises UserError, before anything is written, where the study's trials could not be run."""
        ...

    def side_by_side(self) -> int:
        """How many trials run at the same time, at most."""
        ...

    def run(
        self, queue: Queue, budget_guard: BudgetGuard, lease: Lease, options: RunnerOptions
    ) -> Sequence[PlannedTrial]:
        """Has what waits run, and returns when nothing is left; gives the trials that the budget refused.

        `queue.refresh()` reads the ledger again: `waiting` are the trials that wait, none once the study is
        to stop; `elsewhere` counts those that other runners have. Wait inside `options.interrupts.window()`,
        where a Ctrl-C is raised.
        """
        ...

    @staticmethod
    def lines(folder: Path) -> Sequence[str]:
        """What `limo-ablate status` says of the study in `folder` beside its trials: jobs, or machines."""
        ...


def load_launcher(session: Session) -> Launcher:
    """The launcher that starts the study's trials."""
    launcher: Launcher = LAUNCHERS.load(session.launch.executor)(session)
    return launcher
