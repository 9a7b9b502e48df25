"""Fine-tuning as a stage: in this process, or in as many ranks as the hardware configuration says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limo_ablate.artifacts import Artifact, Store
from limo_ablate.config import HardwareConfig, TrainConfig
from limo_ablate.train.base import model_path, read_reference

VERSION = 1
WITHOUT_EFFECT = ("checkpoint_seconds", "max_length", "system_prompt")
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
    checkpoint. Raises UserError for hardware that is not there, TrialFailure when the training dies.
    """
    from limo_ablate.train.processes import check_hardware

    check_hardware(train, hardware)
    inputs = {
        "tokens": tokens,
        "base": base,
        "train": {key: value for key, value in asdict(train).items() if key not in WITHOUT_EFFECT},
        "hardware": {key: getattr(hardware, key) for key in ("device", "precision", "processes", "strategy")},
    }

    def make(folder: Path) -> None:
        from limo_ablate.train.loop import Job, fine_tune

        job = Job(
            tokens=str(tokens.path),
            model=model_path(base),
            reference=read_reference(base),
            train=train,
            hardware=hardware,
            folder=str(folder),
        )
        if hardware.processes == 1:
            fine_tune(job, on_step)
        else:
            from limo_ablate.train.ranks import run_ranks

            run_ranks(job, on_step)

    return store.build("weights", VERSION, inputs, make, resume=True)
