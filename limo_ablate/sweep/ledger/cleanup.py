"""Cleaning up after runners that died: their processes on this machine, and their rows in the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial, TrialState

from limo_ablate.analysis.results import Results, read_metrics
from limo_ablate.core.hardware import device_count
from limo_ablate.core.marked_processes import end_marked
from limo_ablate.core.progress import PROGRESS
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.ledger.lease import Watch
from limo_ablate.sweep.ledger.ledger import INTERRUPTED, History, Ledger

if TYPE_CHECKING:
    from limo_ablate.study.search.search import Search


@dataclass(frozen=True, slots=True)
class Cleanup:
    ledger: Ledger
    watch: Watch
    trials: Path
    """Folder of the trials' folders."""
    searches: Mapping[str, Search]
    """Searches by name; the rows of their trials keep the values of the search's objectives."""

    def end_dead_runners(self, rows: Iterable[FrozenTrial], me: str) -> set[str]:
        """Returns the dead among the other runners, and ends what they left running on this machine."""
        running = {row.user_attrs.get("runner") for row in rows if row.state == TrialState.RUNNING}
        others = ({runner for runner in running if runner} | set(self.watch.known())) - {me}
        dead = {runner for runner in others if self.watch.is_dead(runner)}
        for runner in dead:
            if self.watch.is_on_this_machine(runner):
                end_marked(runner)
        return dead

    def settle(self, trial: PlannedTrial | None, history: History, dead: set[str], living: set[str]) -> None:
        """Ends the trial's rows that belong to dead runners or are duplicates.

        `trial`: None for one that the study no longer has. `living`: the other runners that are not dead, as
        listed after the rows were read.
        """
        for settled in (history.waiting, history.running if history.runner else None):
            self.watch.forget(settled)
        if history.running is not None and self._is_abandoned(history, dead, living):
            devices = device_count(trial.config.hardware) if trial else 1
            fresh = trial is not None and Results(self.trials.parent).why_not(trial) is None
            if trial and fresh and self.adopt_result(trial, history.running, devices=devices):
                history.done = True
            else:
                seconds = self._seconds_run(trial, history)
                self._drop(history.running, "its runner died", seconds=seconds, devices=devices)
            history.running = history.runner = None
        for row_id in history.duplicates:
            self._drop(row_id, "waits already")
        if trial is None and history.waiting is not None:
            self._drop(history.waiting, "no longer in the study")

    def adopt_result(self, trial: PlannedTrial, row_id: int, **result: Any) -> dict[str, Any] | None:
        """Finishes the row with the result that is on disk, and returns that; None where there is none."""
        folder = self.trials / trial.folder
        if metrics := read_metrics(folder, trial.key):
            if trial.proposal and (search := self.searches.get(trial.proposal.search)):
                result["values"] = search.values(metrics)
            self.ledger.finish(row_id, metrics, folder, **result)
        return metrics

    def _is_abandoned(self, history: History, dead: set[str], living: set[str]) -> bool:
        """A claimed row without a runner is either about to get one, or its claimer died in between."""
        assert history.running is not None
        if history.runner is not None:
            return history.runner in dead
        unsigned = self.watch.is_unchanged(history.running, None) or not living
        return unsigned and self.ledger.runner_of(history.running) is None

    def _seconds_run(self, trial: PlannedTrial | None, history: History) -> float:
        """How long the row ran before its runner died: until the last sign of life of either."""
        beat = self.watch.last_beat(history.runner) if history.runner else 0.0
        reported = _modified(self.trials / trial.folder / PROGRESS) if trial else 0.0
        return max(0.0, beat - history.since, reported - history.since)

    def _drop(self, row_id: int, reason: str, **result: Any) -> None:
        self.ledger.fail(row_id, reason, **{INTERRUPTED: True}, **result)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
