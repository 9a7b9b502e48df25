"""Fine-tuning as a stage: in this process, or in as many ranks as the hardware configuration says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train.base import model_path, read_reference
from limo_ablate.model.train.config import TrainConfig

VERSION = 1
WITH_EFFECT = ("device", "precision", "processes", "strategy", "context_parallel", "cpu_offload")
"""Keys of HardwareConfig that change how sums are rounded; on a CPU its threads do too."""
WITHOUT_EFFECT = ("checkpoint_seconds", "checkpoint_steps", "max_length", "system_prompt")
"""Keys of TrainConfig that change no weight, or have had their effect on the tokens already."""


def train(
    store: Store,
    tokens: Artifact,
    base: Artifact,
    train: TrainConfig,
    hardware: HardwareConfig,
    on_step: Callable[[dict[str, Any]], None] | None = None,
) -> Artifact:
    """`base` fine-tuned on `tokens`: weights with tokenizer in the hub's format, curve.parquet, train.json.

    `on_step` gets each row of the curve while it grows. An interrupted training goes on from its last
    checkpoint, one that runs out of memory with fewer tokens at a time. Raises UserError for hardware that
    is not there or too small, TrialFailure when the training dies.
    """
    inputs = {
        "tokens": tokens,
        "base": base,
        "train": {key: value for key, value in asdict(train).items() if key not in WITHOUT_EFFECT},
        "hardware": {key: getattr(hardware, key) for key in WITH_EFFECT},
        "threads": hardware.threads if hardware.device == "cpu" else None,
    }

    def make(folder: Path) -> None:
        from limo_ablate.model.train.loop import Job
        from limo_ablate.model.train.memory_check import Demand, check_memory
        from limo_ablate.model.train.oom import fit
        from limo_ablate.model.train.processes import check_hardware
        from limo_ablate.model.train.token_rows import read_tokens

        check_hardware(train, hardware)
        job = Job(
            tokens=str(tokens.path),
            model=model_path(base),
            reference=read_reference(base),
            train=train,
            hardware=hardware,
            folder=str(folder),
        )
        demand = Demand(read_tokens(tokens.path), job.model, train, hardware)
        fit(job, check_memory(demand).load, on_step)

    return store.build("weights", VERSION, inputs, make, resume=True)
