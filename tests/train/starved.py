"""Trainings whose process may not have more memory from their second step on, for test_oom.

    python -m tests.train.starved FOLDER '[[{"micro_batch_tokens": 1}, MEGABYTES], ...]'

A pair is a training: changes of CONFIG, and what it may take from then on. The last line printed is a JSON
list of what came of each: steps told of, weights' folder, error.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from limo_ablate.artifacts import Artifact, Store
from limo_ablate.config import HardwareConfig, TrainConfig
from limo_ablate.errors import TrialFailure
from limo_ablate.train import train
from tests.tiny_models import ARCHITECTURE, CPU, SCRATCH, TRAIN, made_base, made_tokens

MODEL = replace(SCRATCH, architecture=replace(ARCHITECTURE, width=128, layers=4, heads=4, head_dim=32))
CONFIG = replace(TRAIN, steps=5, global_batch_size=40, micro_batch_tokens=16_384, checkpoint_seconds=0.0)
"""All 40 rows at a time take about 110 MB of activations."""
LIMITED_FROM = 2
"""Steps after which memory is short."""
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Environment in which the C library gives memory back at once: nothing that was free before is a reserve."""


def starve(process: int, megabytes: float) -> None:
    """Lets `process` have so much more than it has now, and not a byte beyond (RLIMIT_DATA)."""
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    now = next(1024 * int(line.split()[1]) for line in status if line.startswith("VmData:"))
    resource.prlimit(process, resource.RLIMIT_DATA, (now + int(megabytes * 1e6), resource.RLIM_INFINITY))


def trained(
    store: Store, hardware: HardwareConfig = CPU, config: TrainConfig = CONFIG, on_step: Any = None
) -> Artifact:
    base = made_base(store, MODEL)
    return train(store, made_tokens(store, base, 40, config), base, config, hardware, on_step)


def main(folder: Path, trainings: list[tuple[dict[str, Any], float]]) -> None:
    logging.basicConfig(level="WARNING", format="%(message)s")
    print(json.dumps([starved(Store(folder), *training) for training in trainings]))


def starved(store: Store, changes: dict[str, Any], megabytes: float) -> dict[str, Any]:
    steps: list[int] = []

    def on_step(row: dict[str, Any]) -> None:
        steps.append(row["step"])
        if row["step"] == LIMITED_FROM:
            starve(os.getpid(), megabytes)

    try:
        weights = trained(store, config=replace(CONFIG, **changes), on_step=on_step)
        return {"steps": steps, "weights": str(weights.path)}
    except TrialFailure as error:
        return {"steps": steps, "error": str(error)}
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
