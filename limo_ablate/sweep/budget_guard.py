"""The study's budget as one of its runners sees it: what it spends, and by the ledger the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from limo_ablate.study.budget import Budget, Spending
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.ledger.ledger import histories, seconds_run
from limo_ablate.sweep.ledger.queue import Queue, Todo, alone


class Purse:
    def __init__(
        self, queue: Queue, budget: Budget | None, forecast: Callable[[PlannedTrial], float]
    ) -> None:
        """`forecast`: seconds that a trial will take."""
        self._queue, self._budget = queue, budget
        self._spending = Spending(budget, 0.0, forecast)
        self._elsewhere: list[tuple[PlannedTrial, float]] = []

    def look(self) -> None:
        """Reads in the ledger what all runners have spent, and what the others are at."""
        if self._budget is None:
            return
        rows, now = self._queue.ledger.rows(), time.time()
        found = histories(rows)
        spent = sum(history.device_seconds for history in found.values())
        self._spending.know(spent, seconds_run(rows, now))
        trials = {trial.id: trial for trial in self._queue.trials}
        self._elsewhere = [
            (trials[key], now - history.since)
            for key, history in found.items()
            if history.running is not None and history.runner != self._queue.runner and key in trials
        ]

    def allows(self, trial: PlannedTrial, running: Iterable[tuple[PlannedTrial, float]]) -> bool:
        """Whether `trial` may start beside `running`: trials, each with the seconds it has run here."""
        return self._budget is None or self._spending.allows(trial, [*running, *self._elsewhere])

    def claim(self, todo: Todo, running: Iterable[tuple[PlannedTrial, float]]) -> bool:
        """Takes the trial from the queue, if the budget still allows it.

        Of several runners one at a time looks and claims, so that no two of them spend the same.
        """
        if self._budget is None:
            return self._queue.claim(todo)
        with alone(self._queue.folder, self._queue.ledger.pause):
            self.look()
            return self.allows(todo.trial, running) and self._queue.claim(todo)

    def charge(self, trial: PlannedTrial, seconds: float) -> None:
        """An attempt of `trial` has ended here after `seconds`, however it ended."""
        self._spending.charge(trial, seconds)
