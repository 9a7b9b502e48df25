"""DeepSpeed's ZeRO-3, with which the paper trained, through Accelerate's plugin.

Written against the sources of accelerate 1.15, transformers 5.23 and deepspeed 0.19; never run. FSDP2
(`hardware.strategy=fsdp2`) is the same idea in torch itself, needs no package, and is tested.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train.config import TrainConfig

if TYPE_CHECKING:
    from accelerate import DeepSpeedPlugin


def check_zero3(train: TrainConfig, hardware: HardwareConfig) -> None:
    """Raises UserError for settings that ZeRO-3 does not support, or if DeepSpeed is missing."""
    if hardware.device == "cpu":
        raise UserError("hardware.strategy=zero3 needs hardware.device=cuda; on a CPU use fsdp2")
    if importlib.util.find_spec("deepspeed") is None:
        raise UserError("hardware.strategy=zero3 needs DeepSpeed: pip install deepspeed; or use fsdp2")
    if train.lora is not None:
        raise UserError("train.lora is not supported with hardware.strategy=zero3; use fsdp2, ddp or single")


def zero3_plugin(train: TrainConfig, hardware: HardwareConfig) -> DeepSpeedPlugin:
    from accelerate import DeepSpeedPlugin

    return DeepSpeedPlugin(hf_ds_config=zero3_config(train, hardware))


def zero3_config(train: TrainConfig, hardware: HardwareConfig) -> dict[str, Any]:
    """DeepSpeed's configuration.

    The loop packs the micro-batches, scales the loss and marks the last one, so DeepSpeed is configured for
    one row and no accumulation. Gradients are reduced and added up in float32, as under FSDP2.
    """
    partition: dict[str, Any] = {
        "stage": 3,
        "overlap_comm": True,
        "contiguous_gradients": True,
        "stage3_gather_16bit_weights_on_model_save": True,
    }
    if hardware.cpu_offload:
        partition["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
        partition["offload_param"] = {"device": "cpu", "pin_memory": True}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": train.grad_clip,
        "bf16": {"enabled": hardware.precision == "bf16"},
        "data_types": {"grad_accum_dtype": "fp32"},
        "communication_data_type": "fp32",
        "zero_optimization": partition,
    }
