"""Ending what the dead left behind: their processes on this machine, and their rows in the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial, TrialState

from limo_ablate.core.hardware import device_count
from limo_ablate.core.progress import PROGRESS
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep import processes
from limo_ablate.sweep.ledger.lease import Watch
from limo_ablate.sweep.ledger.ledger import INTERRUPTED, History, Ledger

if TYPE_CHECKING:
    from limo_ablate.study.search.search import Search


@dataclass(frozen=True, slots=True)
class Settler:
    ledger: Ledger
    watch: Watch
    trials: Path
    """The folder of the trials' folders."""
    searches: Mapping[str, Search]
    """By name; their rows keep the values they asked for."""

    def end_dead(self, rows: Iterable[FrozenTrial], but: str) -> set[str]:
        """The dead among the runners, `but` is the one who asks; ends their processes on this machine."""
        running = {row.user_attrs.get("runner") for row in rows if row.state == TrialState.RUNNING}
        others = {runner for runner in running if runner} | set(self.watch.known()) - {but}
        dead = {runner for runner in others - {but} if self.watch.dead(runner)}
        for runner in dead:
            if self.watch.here(runner):
                processes.end(runner)
        return dead

    def settle(self, trial: PlannedTrial | None, history: History, dead: set[str], living: set[str]) -> None:
        """Ends the trial's rows that belong to the dead or wait twice; None is one the study no longer has.

        `living`: the other runners that are not dead, as of after the rows were read.
        """
        for signed in (history.waiting, history.running if history.runner else None):
            self.watch.forget(signed)
        if history.running is not None and self._abandoned(history, dead, living):
            taken = device_count(trial.config.hardware) if trial else 1
            if trial and self.adopt(trial, history.running, devices=taken):
                history.done = True
            else:
                seconds = self._seconds(trial, history)
                self._drop(history.running, "its runner died", seconds=seconds, devices=taken)
            history.running = history.runner = None
        for row_id in history.spare:
            self._drop(row_id, "waits already")
        if trial is None and history.waiting is not None:
            self._drop(history.waiting, "no longer in the study")

    def adopt(self, trial: PlannedTrial, row_id: int, **result: Any) -> dict[str, Any] | None:
        """Finishes the row with the result on disk, if there is one, and returns that."""
        folder = self.trials / trial.folder
        if metrics := read_metrics(folder, trial.key):
            if trial.proposal and (search := self.searches.get(trial.proposal.search)):
                result["values"] = search.values(metrics)
            self.ledger.finish(row_id, metrics, folder, **result)
        return metrics

    def _abandoned(self, history: History, dead: set[str], living: set[str]) -> bool:
        """A row that is claimed and not signed is so for a moment, or its claimer died in that moment."""
        assert history.running is not None
        if history.runner is not None:
            return history.runner in dead
        unsigned = self.watch.unchanged(history.running, None) or not living
        return unsigned and self.ledger.signature(history.running) is None

    def _seconds(self, trial: PlannedTrial | None, history: History) -> float:
        """How long the row's runner, now dead, was at it: until the last sign of life of either."""
        beat = self.watch.last_beat(history.runner) if history.runner else 0.0
        told = _changed(self.trials / trial.folder / PROGRESS) if trial else 0.0
        return max(0.0, beat - history.since, told - history.since)

    def _drop(self, row_id: int, reason: str, **result: Any) -> None:
        self.ledger.fail(row_id, reason, **{INTERRUPTED: True}, **result)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def read_metrics(folder: Path, key: str) -> dict[str, Any] | None:
    """The result in a trial's folder; None when there is none, or it is another trial's."""
    try:
        metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    except FileNotFoundError:
        return None
    return metrics if metrics["trial"] == key else None
