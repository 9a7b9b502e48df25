"""launch.executor=runners: a study is run by several `limo-ablate join` processes of this machine."""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from limo_ablate.core.errors import UserError
from limo_ablate.core.python import environment, python
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.budget_guard import BudgetGuard
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.ledger.queue import Queue
from limo_ablate.sweep.session import RunnerOptions, Session


class RunnersLauncher:
    here = True

    def __init__(self, session: Session) -> None:
        self.folder = session.folder
        self.count = int(session.launch.options.get("count", 2))

    def check(self) -> None:
        if self.count < 1:
            raise UserError(f"launch.options.count={self.count} must be at least 1")

    def side_by_side(self) -> int:
        return self.count

    def run(
        self, queue: Queue, budget_guard: BudgetGuard, lease: Lease, options: RunnerOptions
    ) -> Sequence[PlannedTrial]:
        command = python("-m", "limo_ablate", "join", str(self.folder), "launch.slots=1")
        runners = [subprocess.Popen(command, env=environment()) for _ in range(self.count)]
        try:
            while any(runner.poll() is None for runner in runners):
                with options.interrupts.window():
                    time.sleep(0.5)
        finally:
            for runner in runners:
                runner.terminate()
                runner.wait()
        queue.refresh()
        return [queued.trial for queued in queue.waiting]

    @staticmethod
    def lines(folder: Path) -> Sequence[str]:
        return [f"  its runners' leases: {folder / 'runners'}"]
