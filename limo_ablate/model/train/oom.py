"""Out of memory: the attempt ends, and the training goes on from its last checkpoint with half the tokens.

The global batch stays what it is, so the curve goes on as it would have, but for the rounding of its sums.
"""

from __future__ import annotations

import gc
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limo_ablate.core.errors import TrialFailure
from limo_ablate.model.train.token_rows import read_tokens

if TYPE_CHECKING:
    from limo_ablate.model.train.curve import OnStep
    from limo_ablate.model.train.loop import Job
    from limo_ablate.model.train.memory import Load

SAYINGS = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""In the RuntimeErrors of PyTorch's CPU allocator and of cuBLAS, which have no type of their own."""

logger = logging.getLogger(__name__)


class OutOfMemory(TrialFailure):
    """A training asked for more memory than there is."""


def is_out_of_memory(error: BaseException) -> bool:
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError | OutOfMemory):
        return True
    return isinstance(error, RuntimeError) and any(saying in str(error) for saying in SAYINGS)


def fit(job: Job, load: Load, on_step: OnStep | None) -> None:
    """Runs `job`, after running out of memory again with half the tokens a forward pass, until they fit.

    `load` is its heaviest pass. Raises TrialFailure when the longest row alone does not fit.
    """
    passed_on = 0

    def once(row: dict[str, Any]) -> None:
        """Steps since the last checkpoint come again."""
        nonlocal passed_on
        if passed_on == 0 and row["step"] > 1:
            logger.info("resuming after step %d", row["step"] - 1)
        if row["step"] > passed_on:
            passed_on = row["step"]
            if on_step:
                on_step(row)

    tokens, longest = load.tokens * job.hardware.context_parallel, load.longest
    while (reason := _attempt(job, once)) is not None:
        if tokens <= longest:
            raise TrialFailure(
                f"out of memory with one row of {longest} tokens at a time: {reason}. {_advice(job)}"
            )
        tokens = max(tokens // 2, longest)
        logger.warning(
            "out of memory (%s); going on with train.micro_batch_tokens=%d, the global batch as it was",
            reason, tokens,
        )  # fmt: skip
        job = replace(job, train=replace(job.train, micro_batch_tokens=tokens))


def _attempt(job: Job, on_step: OnStep) -> str | None:
    """Runs `job`; returns what was said when memory ran out, once all that it held is free again."""
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
    _free()  # not before: the error's traceback holds the model
    return reason


def _free() -> None:
    import torch

    gc.collect()
    torch.cuda.empty_cache()  # nothing where there is no GPU


def _advice(job: Job) -> str:
    """What would fit by the forecast; this training's own was not to be had, whatever seems to be free."""
    from limo_ablate.model.train.memory_check import Demand, Room, advice, room_of

    demand = Demand(read_tokens(Path(job.tokens)), job.model, job.train, job.hardware)
    room = room_of(job.hardware)
    return advice(demand, Room(device=min(room.device, int(0.9 * demand.forecast().total)), host=room.host))
