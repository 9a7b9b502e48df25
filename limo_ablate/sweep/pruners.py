"""Trials of a search that its pruner gives up: what they report on their way is read as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from limo_ablate.study.planned import PlannedTrial
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
    """Trial -> reports that its pruner has been asked about."""
    _told: set[str] = field(default_factory=set, init=False)
    """Trials whose results the pruners know."""

    def __post_init__(self) -> None:
        if not self.searches:
            return
        from limo_ablate.study.search.pruning import Pruner

        self._pruners = {search.name: (search, Pruner(search)) for search in self.searches if search.pruner}

    def learn(self, trials: Sequence[PlannedTrial]) -> None:
        """Tells the pruners of the trials that have a result by now, whoever ran them."""
        for trial in trials:
            if trial.proposal is None or trial.proposal.search not in self._pruners or trial.id in self._told:
                continue
            if metrics := read_metrics(self.trials / trial.folder, trial.key):
                search, pruner = self._pruners[trial.proposal.search]
                pruner.ended(trial.proposal.number, self._reports(trial), search.values(metrics)[0])
                self._told.add(trial.id)

    def gives_up(self, trial: PlannedTrial) -> bool:
        """Whether the trial, which runs, is not worth its time."""
        if trial.proposal is None or trial.proposal.search not in self._pruners:
            return False
        reports = self._reports(trial)
        if len(reports) <= self._reported.get(trial.id, 0):
            return False
        self._reported[trial.id] = len(reports)
        return self._pruners[trial.proposal.search][1].should_prune(trial.proposal.number, reports)

    def _reports(self, trial: PlannedTrial) -> dict[int, float]:
        from limo_ablate.study.search.pruning import read_reports

        return read_reports(self.trials / trial.folder)
