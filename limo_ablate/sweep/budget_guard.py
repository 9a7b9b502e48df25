"""Keeps a study within its spending budget: no trial starts that is forecast to end beyond a cap.

    Spending(Budget(gpu_hours=10), spent=Use(3600.0), forecast=costs.seconds).allows(trial, running)

Trials are taken in the queue's order. One may start only if what is spent, what the running trials are
forecast to use (at least what they have used) and its own forecast are within the cap together. A trial that
does not fit is passed over and considered again whenever another has ended; smaller ones after it may start
meanwhile. When nothing runs and nothing fits, the study ends and lists what was not run.

A trial that takes longer than its forecast is not ended. So the cap is exceeded by at most the amount by
which the running trials were forecast too low.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from limo_ablate.study.budget import Budget, Use
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.ledger.ledger import History, histories, seconds_run
from limo_ablate.sweep.ledger.queue import Queue, QueuedTrial, queue_lock


class Spending:
    """What a study has used, and whether another trial fits into its budget."""

    def __init__(
        self,
        budget: Budget | None,
        spent: Use,
        forecast: Callable[[PlannedTrial], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`spent`: what the study has used so far; `forecast`: seconds that a trial will take."""
        self._budget, self._forecast, self._clock = budget or Budget(), forecast, clock
        self.update(spent, 0.0)

    def update(self, spent: Use, ran: float) -> None:
        """What the study has used by now, and seconds in which any of its trials ran."""
        self._spent, self._ran, self._updated = spent, ran, self._clock()

    def charge(self, trial: PlannedTrial, seconds: float) -> None:
        """An attempt at `trial` has ended after `seconds`, with whatever outcome."""
        self._spent += Use.of(trial.config.hardware, seconds)

    def allows(self, trial: PlannedTrial, running: Iterable[tuple[PlannedTrial, float]]) -> bool:
        """Whether `trial` may start beside `running`: trials, each with the seconds it has run."""
        seconds = self._forecast(trial)
        ran = self._ran + self._clock() - self._updated
        use = self._spent + Use.of(trial.config.hardware, seconds)
        for other, used in running:
            use += Use.of(other.config.hardware, max(used, self._forecast(other)))
        return self._budget.allows(use, ran + seconds)


def spent(found: Mapping[str, History], trials: Iterable[PlannedTrial]) -> Use:
    """What the attempts in a ledger have used, at the prices that `trials` have now.

    Trials that the study no longer has are taken at the highest of these prices.
    """
    prices = {trial.id: trial.config.hardware.price or 0.0 for trial in trials}
    highest = max(prices.values(), default=0.0)
    total = Use()
    for key, history in found.items():
        total += Use.of_devices(prices.get(key, highest), history.device_seconds)
    return total


class BudgetGuard:
    """The budget as one of several runners sees it: its own spending, and by the ledger that of the
    others."""

    def __init__(
        self, queue: Queue, budget: Budget | None, forecast: Callable[[PlannedTrial], float]
    ) -> None:
        """`forecast`: seconds that a trial will take."""
        self._queue, self._budget = queue, budget
        self._spending = Spending(budget, Use(), forecast)
        self._elsewhere: list[tuple[PlannedTrial, float]] = []

    def refresh(self) -> None:
        """Reads from the ledger what all runners have spent, and which trials run in the others."""
        if self._budget is None:
            return
        rows, now = self._queue.ledger.rows(), time.time()
        by_trial = histories(rows)
        self._spending.update(spent(by_trial, self._queue.trials), seconds_run(rows, now))
        trials = {trial.id: trial for trial in self._queue.trials}
        self._elsewhere = [
            (trials[key], now - history.since)
            for key, history in by_trial.items()
            if history.running is not None and history.runner != self._queue.runner and key in trials
        ]

    def allows(self, trial: PlannedTrial, running: Iterable[tuple[PlannedTrial, float]]) -> bool:
        """Whether `trial` may start beside `running`: trials, each with the seconds it has run here."""
        return self._budget is None or self._spending.allows(trial, [*running, *self._elsewhere])

    def claim(self, queued: QueuedTrial, running: Iterable[tuple[PlannedTrial, float]]) -> bool:
        """Claims the trial from the queue, if the budget still allows it.

        Under the queue's lock, so that no two runners spend the same hours.
        """
        if self._budget is None:
            return self._queue.claim(queued)
        with queue_lock(self._queue.folder, self._queue.ledger.pause):
            self.refresh()
            return self.allows(queued.trial, running) and self._queue.claim(queued)

    def charge(self, trial: PlannedTrial, seconds: float) -> None:
        """An attempt at `trial` has ended here after `seconds`, with whatever outcome."""
        self._spending.charge(trial, seconds)
