"""The fine-tuning stage, in this process or in as many ranks as `hardware.processes` says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from limo_ablate.core.artifacts import Artifact, Store, json_default
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train.base import model_path, read_reference
from limo_ablate.model.train.checkpoint import BEST, CHECKPOINTS
from limo_ablate.model.train.config import TOKEN_KEYS, KeptConfig, TrainConfig
from limo_ablate.model.train.job import TrainingJob
from limo_ablate.model.train.kept import AT, record_digests


def train(
    store: Store,
    tokens: Artifact,
    base: Artifact,
    train: TrainConfig,
    hardware: HardwareConfig,
    on_step: Callable[[dict[str, Any]], None] | None = None,
    at: KeptConfig | None = None,
) -> Artifact:
    """Fine-tunes `base` on `tokens`: weights and tokenizer in the hub's format, curve.parquet, train.json.

    `on_step` is called with each new row of the curve. The weights at the points of `at` are kept too
    (`kept.kept_checkpoints`), which changes nothing in the training. An interrupted training resumes from its
    last checkpoint; one that runs out of memory resumes with fewer tokens per forward pass. Raises UserError
    if the hardware is missing or too small, TrialFailure if the training fails.
    """
    inputs = {
        "tokens": tokens,
        "base": base,
        "train": {key: value for key, value in json_default(train).items() if key not in TOKEN_KEYS},
        "hardware": {key: value for key, value in json_default(hardware).items() if key != "threads"},
        "threads": hardware.threads_in_key,
        **({"at": at} if at else {}),
    }

    def make(folder: Path) -> None:
        from limo_ablate.model.train.memory_check import Demand, check_memory
        from limo_ablate.model.train.oom import train_within_memory
        from limo_ablate.model.train.plan import Plan
        from limo_ablate.model.train.processes import check_hardware
        from limo_ablate.model.train.token_rows import read_tokens
        from limo_ablate.model.train.zero3 import check_zero3

        rows = read_tokens(tokens.path)
        plan = Plan(rows.lengths, rows.responses, train, rows.problems)
        kept = plan.kept_steps(at) if at else ()
        check_hardware(train, hardware)
        if hardware.strategy == "zero3":
            check_zero3(train, read_reference(base).adapter)
        job = TrainingJob(
            tokens=str(tokens.path), model=model_path(base), reference=read_reference(base),
            train=train, hardware=hardware, at=kept, folder=str(folder),
        )  # fmt: skip
        demand = Demand(rows, job.model, train, hardware)
        check_memory(demand)
        train_within_memory(job, demand.load(), on_step)
        if kept:
            record_digests(folder, (*kept, plan.total_steps))

    return store.build("weights", inputs, make, resume=True, checkpoints=(CHECKPOINTS, AT, BEST))
