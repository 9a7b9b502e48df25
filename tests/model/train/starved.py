"""Trainings whose process may not have more memory from their second step on, for test_oom."""

from __future__ import annotations

import json
import logging
import os
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import TrialFailure
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train.config import TrainConfig
from limo_ablate.model.train.launch import train
from tests.quick_ranks import settle
from tests.tiny_models import ARCHITECTURE, CPU, SCRATCH, TRAIN, made_base, made_tokens

MODEL = replace(SCRATCH, architecture=replace(ARCHITECTURE, width=128, layers=4, heads=4, head_dim=32))
CONFIG = replace(TRAIN, steps=8, global_batch_size=40, micro_batch_tokens=16_384, checkpoint_seconds=0.0)
"""All 40 rows at a time take about 110 MB of activations."""
LIMITED_FROM = 2
"""Steps after which memory is short."""
SWING = 30_000_000
"""Bytes; activations of half the rows take about 55 MB."""
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Environment in which the C library gives memory back at once: nothing that was free before is a reserve."""


def starve(process: int, megabytes: float) -> None:
    """Lets `process` have so much more than it has now, and not a byte beyond (RLIMIT_DATA)."""
    limit(process, data_of(process) + int(megabytes * 1e6))


def starve_below_its_peak(process: int) -> None:
    """Waits for a forward pass to be over, and lets `process` have less than that one took."""
    peak = now = data_of(process)
    while now > peak - SWING:
        time.sleep(0.001)
        now = data_of(process)
        peak = max(peak, now)
    limit(process, peak - SWING // 2)


def limit(process: int, size: int) -> None:
    resource.prlimit(process, resource.RLIMIT_DATA, (size, resource.RLIM_INFINITY))


def data_of(process: int) -> int:
    """Bytes that count towards RLIMIT_DATA."""
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmData:"))


def trained(
    store: Store, hardware: HardwareConfig = CPU, config: TrainConfig = CONFIG, on_step: Any = None
) -> Artifact:
    base = made_base(store, MODEL)
    return train(store, made_tokens(store, base, 40, config), base, config, hardware, on_step)


def run(folder: Path, trainings: list[tuple[dict[str, Any], float]], log: Path) -> None:
    """Each training is changes of CONFIG, and the megabytes that it may take.

    The last line of `log` is a JSON list of what came of each: steps told of, weights' folder, error.
    """
    settle(log, MALLOC)
    logging.basicConfig(level="WARNING", format="%(message)s")
    print(json.dumps([starved(Store(folder), *training) for training in trainings]), flush=True)


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
