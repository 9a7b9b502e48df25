"""Trials of a search that its pruner gives up: what they report on their way is read as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from limo_ablate.study.cells import Cell
from limo_ablate.sweep.ledger.queue import read_metrics

if TYPE_CHECKING:
    from limo_ablate.study.search.search import Pruner, Search


@dataclass
class Pruners:
    """Of a study's searches that have one; they cost nothing in studies without."""

    searches: Sequence[Search]
    trials: Path
    """The folder of the trials' folders."""
    _pruners: dict[str, tuple[Search, Pruner]] = field(default_factory=dict, init=False)
    _reported: dict[str, int] = field(default_factory=dict, init=False)
    """Cell -> reports that its pruner has been asked about."""
    _told: set[str] = field(default_factory=set, init=False)
    """Cells whose results the pruners know."""

    def __post_init__(self) -> None:
        if not self.searches:
            return
        from limo_ablate.study.search.pruning import Pruner

        self._pruners = {search.name: (search, Pruner(search)) for search in self.searches if search.pruner}

    def learn(self, cells: Sequence[Cell]) -> None:
        """Tells the pruners of the cells that have a result by now, whoever ran them."""
        for cell in cells:
            if cell.proposal is None or cell.proposal.search not in self._pruners or cell.id in self._told:
                continue
            if metrics := read_metrics(self.trials / cell.folder, cell.key):
                search, pruner = self._pruners[cell.proposal.search]
                pruner.ended(cell.proposal.number, self._reports(cell), search.values(metrics)[0])
                self._told.add(cell.id)

    def gives_up(self, cell: Cell) -> bool:
        """Whether the trial of `cell`, which runs, is not worth its time."""
        if cell.proposal is None or cell.proposal.search not in self._pruners:
            return False
        reports = self._reports(cell)
        if len(reports) <= self._reported.get(cell.id, 0):
            return False
        self._reported[cell.id] = len(reports)
        return self._pruners[cell.proposal.search][1].should_prune(cell.proposal.number, reports)

    def _reports(self, cell: Cell) -> dict[int, float]:
        from limo_ablate.study.search.pruning import read_reports

        return read_reports(self.trials / cell.folder)
