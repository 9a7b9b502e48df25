"""What a training needs beyond the package's own dependencies."""

from __future__ import annotations

from importlib.util import find_spec

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train.config import TrainConfig


def check_extras(train: TrainConfig, hardware: HardwareConfig) -> None:
    """Raises UserError where an optional package is missing, or does not go with the hardware."""
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
    if hardware.strategy in ("fsdp2", "zero3"):
        raise UserError(
            f"train.lora.quantize={train.lora.quantize} does not go with hardware.strategy="
            f"{hardware.strategy}: packed weights can't be sharded; use ddp or single"
        )
