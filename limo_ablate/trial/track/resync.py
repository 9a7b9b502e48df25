"""An online run that broke is told again from its trial's folder: W&B's own file of it may end anywhere.

The tracker leaves what the folder does not have (labels, artifacts) in `wandb/unsent`; the run keeps its
id, so what the server has stays and what it lacks is added.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.typed import from_dict
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import TrialLabels
from limo_ablate.trial.track.config import TrackConfig
from limo_ablate.trial.track.steps import UNSENT


def leave(folder: Path, labels: TrialLabels, artifacts: dict[str, Artifact]) -> None:
    """Notes what is needed to tell the run of the trial in `folder` again."""
    made = {name: asdict(artifact) | {"path": str(artifact.path)} for name, artifact in artifacts.items()}
    (folder / "wandb" / UNSENT).write_text(json.dumps({"labels": asdict(labels), "artifacts": made}))


def retell(folder: Path, track: TrackConfig) -> str | None:
    """Tells it to the server; why that failed, else None."""
    from limo_ablate.trial.track.run import WandbTracker

    left = json.loads((folder / "wandb" / UNSENT).read_text())
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    config = replace(_config(folder), track=replace(track, mode="online"))
    tracker = WandbTracker(config, TrialLabels(**left["labels"]), folder)
    if (folder / "curve.parquet").exists():
        for row in pl.read_parquet(folder / "curve.parquet").iter_rows(named=True):
            tracker.step(row)
    made = {name: Artifact(**{**a, "path": Path(a["path"])}) for name, a in left["artifacts"].items()}
    tracker.finish(metrics, folder, made)
    if tracker.failure is None:
        (folder / "wandb" / UNSENT).unlink(missing_ok=True)
    return tracker.failure


def _config(folder: Path) -> TrialConfig:
    return from_dict(TrialConfig, yaml.safe_load((folder / "config.yaml").read_text()))
