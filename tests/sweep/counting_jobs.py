"""A trial that counts to `select.size`, ten a second, and goes on from its checkpoint after SIGTERM.

Each count is a line of `events` in the study's folder: the trial, the count, the Slurm job, its machine and
CUDA_VISIBLE_DEVICES. At `select.quality=skipped` it raises.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from limo_ablate.core.errors import Preempted
from limo_ablate.model.train.stop import deferring_sigterm, stop_requested
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import TrialLabels, trial_key

WHERE = ("SLURMD_NODENAME", "CUDA_VISIBLE_DEVICES")


def trial(config: TrialConfig, folder: Path, labels: TrialLabels) -> None:
    if config.select.quality == "skipped":
        raise RuntimeError("the loss is not a number")
    checkpoint = folder / "count"
    begun = int(checkpoint.read_text()) if checkpoint.exists() else 0
    with deferring_sigterm():
        for count in range(begun, config.select.size or 0):
            if stop_requested(folder):
                time.sleep(0.3)  # a checkpoint takes its time
                checkpoint.write_text(str(count))
                raise Preempted(f"stopped at {count}")
            _note(folder.parent.parent / "events", labels.name, str(count))
            time.sleep(0.1)
    metrics = {"trial": trial_key(config), "scores": {"mini": {"accuracy": 0.5, "stderr": 0.1}}}
    metrics |= {"total_seconds": 0.1, "artifacts": {"weights": {"key": "abc", "digest": "def"}}}
    metrics |= {"inputs": {"files": {}, "versions": {}}, "finished": "2026-01-01T01:00:00+00:00"}
    (folder / "partial").write_text(json.dumps(metrics))
    (folder / "partial").rename(folder / "metrics.json")


def _note(events: Path, *words: str) -> None:
    job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    with events.open("a") as file:  # one short append is whole, whoever else writes
        file.write(" ".join([*words, job, *(os.environ[name] for name in WHERE)]) + "\n")
