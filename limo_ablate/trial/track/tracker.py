"""Tracking: every trial is a W&B run, offline unless told otherwise; what goes wrong here fails no trial."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.errors import UserError
from limo_ablate.trial.config import TRACKERS, TrialConfig
from limo_ablate.trial.identity import TrialLabels

log = logging.getLogger(__name__)


class Tracker(Protocol):
    """What follows a trial. No method may raise; `finish` or `fail` is the last one called.

    An entry of `limo_ablate.trackers` is called with the trial's configuration, its labels and its folder,
    and returns one. It decides no result, so nothing of it enters a key. Calls come from the training loop:
    what takes long belongs on a thread of its own.
    """

    def step(self, row: dict[str, Any]) -> None:
        """One optimiser step: a row of `curve.parquet`."""

    def finish(self, metrics: dict[str, Any], folder: Path, artifacts: dict[str, Artifact]) -> None:
        """The trial is done: the content of metrics.json, its folder, and the artifact of every stage."""

    def fail(self, reason: str) -> None:
        """The trial ended without a result."""


class NoTracker:
    """A tracker that records nothing (`track=none`)."""

    def step(self, row: dict[str, Any]) -> None:
        pass

    def finish(self, metrics: dict[str, Any], folder: Path, artifacts: dict[str, Artifact]) -> None:
        pass

    def fail(self, reason: str) -> None:
        pass


def open_none(config: TrialConfig, labels: TrialLabels, folder: Path) -> Tracker:
    return NoTracker()


class Guarded:
    """A tracker of another package, whose first error is logged and ends the tracking, not the trial."""

    def __init__(self, tracker: Tracker, kind: str) -> None:
        self._tracker, self._kind = tracker, kind

    def step(self, row: dict[str, Any]) -> None:
        self._attempt(lambda: self._tracker.step(row))

    def finish(self, metrics: dict[str, Any], folder: Path, artifacts: dict[str, Artifact]) -> None:
        self._attempt(lambda: self._tracker.finish(metrics, folder, artifacts))

    def fail(self, reason: str) -> None:
        self._attempt(lambda: self._tracker.fail(reason))

    def _attempt(self, task: Callable[[], None]) -> None:
        try:
            task()
        except Exception as error:
            self._tracker = NoTracker()
            log.warning("%s; the trial continues without it", _reason(self._kind, error))


def open_tracker(config: TrialConfig, labels: TrialLabels, folder: Path) -> Tracker:
    """The tracker `config.track` asks for; W&B's files go to `folder`/wandb.

    Raises UserError where it comes from a package that can't be imported; nothing else.
    """
    kind = config.track.kind
    if config.track.mode == "disabled":
        return NoTracker()
    try:
        tracker: Tracker = TRACKERS.load(kind)(config, labels, folder)
    except UserError:
        raise
    except Exception as error:
        log.warning("%s; the trial continues untracked", _reason(kind, error))
        return NoTracker()
    return tracker if kind in TRACKERS.builtin else Guarded(tracker, kind)


def _reason(kind: str, error: Exception) -> str:
    name = "W&B" if kind == "wandb" else f"track.kind={kind}"
    return f"{name} can't be used ({type(error).__name__}: {error})"


__all__ = ["NoTracker", "Tracker", "open_tracker"]
