"""Handles running out of memory: the training resumes from its last checkpoint with half the tokens per pass.

The global batch stays the same, so the curve continues as it would have, except for the rounding of sums.
"""

from __future__ import annotations

import gc
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limo_ablate.core.errors import TrialFailure
from limo_ablate.model.train.failure import is_out_of_memory
from limo_ablate.model.train.token_rows import read_tokens

if TYPE_CHECKING:
    from limo_ablate.model.train.curve import OnStep
    from limo_ablate.model.train.job import TrainingJob
    from limo_ablate.model.train.memory import Load

logger = logging.getLogger(__name__)


def train_within_memory(job: TrainingJob, load: Load, on_step: OnStep | None) -> None:
    """Runs `job`; each time it runs out of memory, resumes with half the tokens per forward pass.

    `load` is its largest forward pass. Raises TrialFailure if the longest row alone does not fit.
    """
    reported = 0

    def report_once(row: dict[str, Any]) -> None:
        """Drops the steps since the last checkpoint, which are repeated."""
        nonlocal reported
        if reported == 0 and row["step"] > 1:
            logger.info("resuming after step %d", row["step"] - 1)
        if row["step"] > reported:
            reported = row["step"]
            if on_step:
                on_step(row)

    tokens, longest = load.tokens * job.hardware.context_parallel, load.longest
    while (reason := _attempt(job, report_once)) is not None:
        if tokens <= longest:
            raise TrialFailure(
                f"out of memory with a single row of {longest} tokens: {reason}. {_advice(job)}"
            )
        tokens = max(tokens // 2, longest)
        logger.warning(
            "out of memory (%s); resuming with train.micro_batch_tokens=%d and the same global batch",
            reason, tokens,
        )  # fmt: skip
        job = replace(job, train=replace(job.train, micro_batch_tokens=tokens))


def _attempt(job: TrainingJob, on_step: OnStep) -> str | None:
    """Runs `job`; returns the error's text if memory ran out, after freeing all memory of the attempt."""
    from limo_ablate.model.train.loop import fine_tune
    from limo_ablate.model.train.ranks import run_ranks

    try:
        if job.hardware.processes == 1:
            fine_tune(job, on_step)
        else:
            run_ranks(job, on_step)
        return None
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error).splitlines()[0]
    release_memory()  # not earlier: the error's traceback holds the model
    return reason


def release_memory() -> None:
    """Returns the memory of what is no longer referenced to the device."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()  # does nothing without a GPU


def _advice(job: TrainingJob) -> str:
    """What would fit, given that the forecast for this run was too optimistic."""
    from limo_ablate.model.train.memory import NoForecast
    from limo_ablate.model.train.memory_check import Demand, FreeMemory, advice, free_memory

    demand = Demand(read_tokens(Path(job.tokens)), job.model, job.train, job.hardware)
    free = free_memory(job.hardware)
    try:
        forecast = demand.forecast()
    except NoForecast:
        return "Choose a smaller model or shorter rows"
    device = min(free.device, int(0.9 * forecast.total))
    return advice(demand, FreeMemory(device=device, host=free.host))
