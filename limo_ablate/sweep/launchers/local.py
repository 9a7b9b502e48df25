"""`launch=local`: runs a study's trials on this machine, side by side in its slots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.budget_guard import BudgetGuard
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.ledger.queue import Queue
from limo_ablate.sweep.runner import Runner
from limo_ablate.sweep.session import RunnerOptions, Session
from limo_ablate.sweep.this_machine import ThisMachine


class LocalLauncher:
    here = True

    def __init__(self, session: Session) -> None:
        self._session, self._machine = session, ThisMachine(session.launch)

    def check(self) -> None:
        self._machine.check(self._session.hardware)

    def side_by_side(self) -> int:
        return max(self._machine.side_by_side(hardware) for hardware in self._session.hardware)

    def run(
        self, queue: Queue, budget_guard: BudgetGuard, lease: Lease, options: RunnerOptions
    ) -> Sequence[PlannedTrial]:
        return self.work(queue, budget_guard, lease, options).not_run

    def work(self, queue: Queue, budget_guard: BudgetGuard, lease: Lease, options: RunnerOptions) -> Runner:
        return self._session.work(queue, budget_guard, lease, options, self._machine)

    @staticmethod
    def lines(folder: Path) -> Sequence[str]:
        return ()
