"""Tracking: every trial is a W&B run, offline unless told otherwise; what goes wrong here fails no trial."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Protocol

from limo_ablate.core.artifacts import Artifact
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import TrialLabels

log = logging.getLogger(__name__)


class Tracker(Protocol):
    """What a trial tells. No method raises; `finish` or `fail` is the last one called."""

    def step(self, row: dict[str, Any]) -> None:
        """One optimiser step: a row of `curve.parquet`."""

    def finish(self, metrics: dict[str, Any], folder: Path, artifacts: dict[str, Artifact]) -> None:
        """The trial is done: the content of metrics.json, its folder, and the artifact of every stage."""

    def fail(self, reason: str) -> None:
        """The trial ended without a result."""


class NoTracker:
    """Tells nobody (`track=none`)."""

    def step(self, row: dict[str, Any]) -> None:
        pass

    def finish(self, metrics: dict[str, Any], folder: Path, artifacts: dict[str, Artifact]) -> None:
        pass

    def fail(self, reason: str) -> None:
        pass


def open_tracker(config: TrialConfig, labels: TrialLabels, folder: Path) -> Tracker:
    """The tracker `config.track` asks for; W&B's files go to `folder`/wandb. Raises nothing."""
    if config.track.kind == "none" or config.track.mode == "disabled":
        return NoTracker()
    try:
        from limo_ablate.trial.track.run import WandbTracker

        return WandbTracker(config, labels, folder)
    except Exception as error:
        log.warning("W&B can't be used (%s: %s); the trial goes on untracked", type(error).__name__, error)
        return NoTracker()


__all__ = ["NoTracker", "Tracker", "open_tracker"]
