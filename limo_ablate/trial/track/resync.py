"""Re-uploads a failed online run from the trial's folder; W&B's own file of it may be incomplete.

The tracker writes what the folder lacks (labels, artifacts) to `wandb/unsent`. The run keeps its id, so the
server adds what is missing to what it has.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypedDict

import polars as pl

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.reading import read_json, read_yaml
from limo_ablate.core.typed import from_dict
from limo_ablate.trial.config import TrackConfig, TrialConfig
from limo_ablate.trial.identity import TrialLabels
from limo_ablate.trial.track.run import WandbTracker
from limo_ablate.trial.track.steps import UNSENT


class Unsent(TypedDict):
    """What `write_unsent` has written."""

    labels: TrialLabels
    artifacts: dict[str, dict[str, Any]]


def resync(folder: Path, patience_seconds: float, given: dict[str, str]) -> str | None:
    """Uploads the run of the trial in `folder`; returns why that failed, or None.

    `given`: a project or an entity other than the trial's.
    """
    unsent = read_json(folder / "wandb" / UNSENT, Unsent)
    metrics: dict[str, Any] = read_json(folder / "metrics.json")
    own = _config(folder)
    track = from_dict(
        TrackConfig, asdict(own.track) | given | {"mode": "online", "patience_seconds": patience_seconds}
    )
    config = replace(own, track=track)
    tracker = WandbTracker(config, unsent["labels"], folder)
    if (folder / "curve.parquet").exists():
        for row in pl.read_parquet(folder / "curve.parquet").iter_rows(named=True):
            tracker.step(row)
    artifacts = {
        name: Artifact(**{**a, "folder": Path(a["folder"])}) for name, a in unsent["artifacts"].items()
    }
    tracker.finish(metrics, folder, artifacts)
    if tracker.failure is None:
        (folder / "wandb" / UNSENT).unlink(missing_ok=True)
    return tracker.failure


def _config(folder: Path) -> TrialConfig:
    return from_dict(TrialConfig, read_yaml(folder / "config.yaml"))
