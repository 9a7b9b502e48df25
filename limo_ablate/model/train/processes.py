"""Accelerate's view of one training's processes: device, strategy, precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from limo_ablate.core.errors import TrialFailure, UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train.config import TrainConfig
from limo_ablate.model.train.extras import check_extras
from limo_ablate.model.train.nodes import check_nodes
from limo_ablate.model.train.zero3 import check_zero3, zero3_plugin

if TYPE_CHECKING:
    from accelerate import Accelerator

SHARDED = ("fsdp2", "zero3")
"""Strategies under which a process holds only a part of the weights."""


def check_hardware(train: TrainConfig, hardware: HardwareConfig) -> None:
    """Raises UserError when this machine or its libraries can't do what `hardware` asks for."""
    import torch

    check_extras(train, hardware)
    if hardware.strategy == "zero3":
        check_zero3(train, hardware)
    if hardware.nodes > 1:
        check_nodes(hardware)
    here = hardware.processes // hardware.nodes
    if hardware.device == "cuda" and torch.cuda.device_count() < here:
        raise UserError(
            f"hardware={hardware.name} wants {here} GPU(s), {torch.cuda.device_count()} can be "
            "seen here; use another hardware= (`cpu` needs none)"
        )


def make_accelerator(train: TrainConfig, hardware: HardwareConfig) -> Accelerator:
    """This process's Accelerator; raises TrialFailure when it is not one of as many as were asked for."""
    from accelerate import Accelerator

    accelerator = Accelerator(
        cpu=hardware.device == "cpu",
        mixed_precision=hardware.precision,
        deepspeed_plugin=zero3_plugin(train, hardware) if hardware.strategy == "zero3" else None,
    )
    if accelerator.num_processes != hardware.processes:
        raise TrialFailure(
            f"{hardware.processes} processes were asked for, Accelerate has {accelerator.num_processes}"
        )
    return accelerator


@contextmanager
def released(accelerator: Accelerator) -> Iterator[Accelerator]:
    """The accelerator, whose process-wide state is cleared afterwards: the next trial may differ."""
    from accelerate.state import AcceleratorState

    try:
        yield accelerator
    finally:
        if accelerator.device.type == "cuda":
            accelerator.free_memory()
        AcceleratorState._reset_state(reset_partial_state=True)
