"""The interface of a launcher, which starts the trials of a study on this machine or elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.budget_guard import BudgetGuard
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.ledger.queue import Queue
from limo_ablate.sweep.session import RunnerOptions, Session
from limo_ablate.trial.config import LAUNCHERS


class Launcher(Protocol):
    """An entry of `limo_ablate.launchers` is a class with this interface, created with the `Session` of a
    sweep.

    A launcher runs no trial itself. It starts runners, which claim trials from the study's ledger: in this
    process (`session.work`), or as processes `limo-ablate join FOLDER` on any machine that sees the study's
    folder under the same path. The ledger decides how trials are distributed, retried and recorded, so the
    launcher affects no result and is in no key. `launch.options` holds its settings.
    """

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


def load_launcher(session: Session) -> Launcher:
    """The launcher that starts the study's trials."""
    launcher: Launcher = LAUNCHERS.load(session.launch.executor)(session)
    return launcher
