"""DeepSpeed's ZeRO-3, with which the paper trained, through Accelerate's plugin.

FSDP2 (`hardware.strategy=fsdp2`) is the same idea in torch itself and needs no package.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from limo_ablate.core.errors import TrialFailure, UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train.config import TrainConfig

if TYPE_CHECKING:
    from accelerate import DeepSpeedPlugin


def check_zero3(train: TrainConfig, adapter: bool = False) -> None:
    """Raises UserError for what ZeRO-3 does not support, or if DeepSpeed is missing; `adapter`: whether the
    base model is a LoRA adapter, which can't be merged into weights that are in parts."""
    if find_spec("deepspeed") is None:
        raise UserError(
            "hardware.strategy=zero3 needs DeepSpeed: pip install 'limo-ablate[zero3]'; or use fsdp2"
        )
    if train.lora is not None:
        raise UserError("train.lora is not supported with hardware.strategy=zero3; use fsdp2, ddp or single")
    if train.loss == "liger":
        raise UserError("train.loss=liger is not supported with hardware.strategy=zero3; use torch, or fsdp2")
    if adapter:
        raise UserError(
            "hardware.strategy=zero3: the base model is a LoRA adapter; train it with "
            "train.lora.save=merged, or use fsdp2"
        )


def zero3_plugin(train: TrainConfig, hardware: HardwareConfig) -> DeepSpeedPlugin:
    from accelerate import DeepSpeedPlugin

    if hardware.device == "cpu":
        from deepspeed import ops

        # An all-reduce of inference that DeepSpeed compiles when it starts, for minutes.
        ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return DeepSpeedPlugin(hf_ds_config=zero3_config(train, hardware))


def check_partitioned(engine: Any, processes: int) -> None:
    """Raises TrialFailure unless `engine` is DeepSpeed's, and holds one part in `processes` of each weight:
    where Accelerate takes no notice of the plugin, it trains with DDP."""
    stage = engine.zero_optimization_stage() if hasattr(engine, "zero_optimization_stage") else None
    if stage != 3:
        raise TrialFailure(
            f"hardware.strategy=zero3, but Accelerate made a {type(engine).__name__} with ZeRO stage {stage}"
        )
    for name, parameter in engine.named_parameters():
        part = -(-parameter.ds_numel // processes) if hasattr(parameter, "ds_numel") else None
        if part is None or parameter.ds_tensor.numel() != part:
            raise TrialFailure(f"zero3: {name} is not divided over {processes} processes")


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
        offload = {"device": "cpu", "pin_memory": hardware.device == "cuda"}
        partition |= {"offload_optimizer": offload, "offload_param": offload}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": train.grad_clip,
        "bf16": {"enabled": hardware.precision == "bf16"},
        "data_types": {"grad_accum_dtype": "fp32"},
        "communication_data_type": "fp32",
        "zero_optimization": partition,
        # Under cpu_offload DeepSpeed's own AdamW would have to be compiled, against the GPU's toolkit.
        "zero_force_ds_cpu_optimizer": False,
    }
