"""The study's budget as one of its runners sees it: what it spends, and by the ledger the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from limo_ablate.study.budget import Budget, Spending
from limo_ablate.study.cells import Cell
from limo_ablate.sweep.ledger.ledger import histories, seconds_run
from limo_ablate.sweep.ledger.queue import Queue, Todo, alone


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
        rows, now = self._queue.ledger.rows(), time.time()
        found = histories(rows)
        spent = sum(history.device_seconds for history in found.values())
        self._spending.know(spent, seconds_run(rows, now))
        cells = {cell.id: cell for cell in self._queue.cells}
        self._elsewhere = [
            (cells[key], now - history.since)
            for key, history in found.items()
            if history.running is not None and history.runner != self._queue.runner and key in cells
        ]

    def allows(self, cell: Cell, running: Iterable[tuple[Cell, float]]) -> bool:
        """Whether `cell` may start beside `running`: cells, each with the seconds it has run here."""
        return self._budget is None or self._spending.allows(cell, [*running, *self._elsewhere])

    def claim(self, todo: Todo, running: Iterable[tuple[Cell, float]]) -> bool:
        """Takes the cell from the queue, if the budget still allows it.

        Of several runners one at a time looks and claims, so that no two of them spend the same.
        """
        if self._budget is None:
            return self._queue.claim(todo)
        with alone(self._queue.folder, self._queue.ledger.pause):
            self.look()
            return self.allows(todo.cell, running) and self._queue.claim(todo)

    def charge(self, cell: Cell, seconds: float) -> None:
        """An attempt of `cell` has ended here after `seconds`, however it ended."""
        self._spending.charge(cell, seconds)
