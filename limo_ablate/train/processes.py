"""Accelerate's view of one training's processes: device, strategy, precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from limo_ablate.config import HardwareConfig, TrainConfig
from limo_ablate.errors import TrialFailure, UserError

if TYPE_CHECKING:
    from accelerate import Accelerator

SHARDED = ("fsdp2", "zero3")
"""Strategies under which a process holds only a part of the weights."""


def check_hardware(train: TrainConfig, hardware: HardwareConfig) -> None:
    """Raises UserError when this machine or its libraries can't do what `hardware` asks for."""
    import torch

    if hardware.device == "cpu" and hardware.strategy in SHARDED:
        raise UserError(
            f"hardware.strategy={hardware.strategy} needs hardware.device=cuda: on a CPU Accelerate would "
            "quietly do something else; use hardware.strategy=ddp"
        )
    if hardware.device == "cuda" and torch.cuda.device_count() < hardware.processes:
        raise UserError(
            f"hardware={hardware.name} wants {hardware.processes} GPU(s), {torch.cuda.device_count()} can be "
            "seen here; use hardware=cpu or fewer hardware.processes"
        )
    if train.lora is not None and hardware.strategy in SHARDED:
        raise UserError(
            f"train.lora does not go with hardware.strategy={hardware.strategy}; use ddp or single"
        )


def make_accelerator(train: TrainConfig, hardware: HardwareConfig) -> Accelerator:
    """This process's Accelerator; raises TrialFailure when it is not one of as many as were asked for."""
    from accelerate import Accelerator

    accelerator = Accelerator(
        cpu=hardware.device == "cpu", mixed_precision=hardware.precision, **_plugin(train, hardware)
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


def _plugin(train: TrainConfig, hardware: HardwareConfig) -> dict[str, Any]:
    if hardware.strategy == "fsdp2":
        from accelerate import FullyShardedDataParallelPlugin

        return {
            "fsdp_plugin": FullyShardedDataParallelPlugin(
                fsdp_version=2,
                auto_wrap_policy="transformer_based_wrap",
                state_dict_type="SHARDED_STATE_DICT",
            )
        }
    if hardware.strategy == "zero3":
        from accelerate import DeepSpeedPlugin

        plugin = DeepSpeedPlugin(
            zero_stage=3,
            gradient_accumulation_steps=1,  # the loop scales the loss itself
            gradient_clipping=train.grad_clip,
            zero3_save_16bit_model=True,
        )
        plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = train.micro_batch_size
        return {"deepspeed_plugin": plugin}
    return {}
