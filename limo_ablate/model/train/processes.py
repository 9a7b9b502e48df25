"""Checks the hardware of a training, and configures Accelerate: device, strategy, precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from limo_ablate.core.errors import TrialFailure, UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train.config import TrainConfig
from limo_ablate.model.train.nodes import check_nodes
from limo_ablate.model.train.zero3 import zero3_plugin

if TYPE_CHECKING:
    from accelerate import Accelerator

SHARDED = ("fsdp2", "zero3")
"""Strategies under which each process holds only a part of the weights."""


def check_hardware(train: TrainConfig, hardware: HardwareConfig) -> None:
    """Raises UserError if this machine or its packages don't support `train` on `hardware`."""
    import torch

    check_packages(train, hardware)
    if hardware.nodes > 1:
        check_nodes(hardware)
    here = hardware.processes // hardware.nodes
    if hardware.device == "cuda" and torch.cuda.device_count() < here:
        raise UserError(
            f"hardware={hardware.name} needs {here} GPU(s), {torch.cuda.device_count()} are visible here; "
            "use another hardware= (`cpu` needs none)"
        )


def check_packages(train: TrainConfig, hardware: HardwareConfig) -> None:
    """Raises UserError if an optional package is missing or does not support the hardware."""
    if train.loss == "liger" and hardware.device != "cuda":
        raise UserError("train.loss=liger: Liger's kernels need a GPU; use train.loss=torch")
    if train.loss == "liger" and find_spec("liger_kernel") is None:
        raise UserError(
            "train.loss=liger needs Liger: pip install 'limo-ablate[liger]', or use train.loss=torch"
        )
    if train.lora is None or train.lora.quantize == "none":
        return
    if find_spec("bitsandbytes") is None:
        raise UserError(
            f"train.lora.quantize={train.lora.quantize} needs bitsandbytes: pip install 'limo-ablate[qlora]'"
        )
    if hardware.strategy in SHARDED:
        raise UserError(
            f"train.lora.quantize={train.lora.quantize} does not work with hardware.strategy="
            f"{hardware.strategy}: packed weights can't be sharded; use ddp or single"
        )


def make_accelerator(train: TrainConfig, hardware: HardwareConfig) -> Accelerator:
    """This process's Accelerator; raises TrialFailure if the number of processes is not as configured."""
    from accelerate import Accelerator, PartialState

    zero3, cpu = hardware.strategy == "zero3", hardware.device == "cpu"
    if zero3:
        PartialState(cpu=cpu)  # given cpu=True itself, Accelerator would ignore the plugin and train with DDP
    accelerator = Accelerator(
        cpu=cpu and not zero3,
        mixed_precision=hardware.precision,
        deepspeed_plugin=zero3_plugin(train, hardware) if zero3 else None,
    )
    for key, real in (("processes", accelerator.num_processes), ("device", accelerator.device.type)):
        if getattr(hardware, key) != real:
            raise TrialFailure(f"hardware.{key}={getattr(hardware, key)}, but Accelerate has {real}")
    return accelerator


@contextmanager
def released(accelerator: Accelerator) -> Iterator[Accelerator]:
    """The accelerator; its process-wide state is cleared afterwards, since the next trial may differ."""
    from accelerate.state import AcceleratorState

    try:
        yield accelerator
    finally:
        if accelerator.device.type == "cuda":
            accelerator.free_memory()
        AcceleratorState._reset_state(reset_partial_state=True)
