"""The study's budget as one of its runners sees it: what it spends, and by the ledger the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from limo_ablate.ledger.queue import Queue
from limo_ablate.plan.budget import Budget, Spending
from limo_ablate.study.cells import Cell


class Purse:
    def __init__(self, queue: Queue, budget: Budget | None, forecast: Callable[[Cell], float]) -> None:
        """`forecast`: seconds that a cell will take."""
        self._queue, self._budget = queue, budget
        self._spending = Spending(budget, 0.0, forecast)
        self._elsewhere: list[tuple[Cell, float]] = []

    def look(self) -> None:
        """Reads in the ledger what all runners have spent, and what the others are at."""
        if self._budget is None:
            return
        histories = self._queue.ledger.histories()
        self._spending.spent = sum(history.device_seconds for history in histories.values())
        cells = {cell.id: cell for cell in self._queue.cells}
        self._elsewhere = [
            (cells[key], 0.0)
            for key, history in histories.items()
            if history.running is not None and history.runner != self._queue.runner and key in cells
        ]

    def allows(self, cell: Cell, running: Iterable[tuple[Cell, float]]) -> bool:
        """Whether `cell` may start beside `running`: cells, each with the seconds it has run here."""
        return self._budget is None or self._spending.allows(cell, [*running, *self._elsewhere])

    def charge(self, cell: Cell, seconds: float) -> None:
        """An attempt of `cell` has ended here after `seconds`, however it ended."""
        self._spending.charge(cell, seconds)
