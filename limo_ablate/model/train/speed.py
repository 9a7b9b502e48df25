"""Speed of a training: tokens per second, and the share of the devices' peak that its arithmetic uses (MFU).

A row of n tokens, r of them with a loss, takes 6 N n + 6 H r + 6 L D n^2 operations (Chowdhery et al. 2022,
appendix B, whose 12 L D n^2 is for attention that is not causal): N is the number of parameters of the
layers, H that of the LM head, which runs only on tokens with a loss, L the number of layers, D the width of
all heads together. Frozen weights have no gradient: 4 instead of 6. What gradient checkpointing recomputes
is not counted.
"""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from limo_ablate.model.train.loss import WithLoss
from limo_ablate.model.train.plan import Plan, Rows

BF16_PEAK = {
    "B200": 2250e12, "GH200": 989e12, "H200": 989e12, "H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12,
    "H800": 989e12, "H20": 148e12, "A100": 312e12, "A800": 312e12, "L40S": 362e12, "L4": 121e12,
    "RTX 6000 Ada": 364e12, "RTX 4090": 165e12, "RTX 3090": 71e12,
}  # fmt: skip
"""Dense bf16 operations per second, from NVIDIA's data sheets; the first key that is in a device's name."""


@dataclass(frozen=True, slots=True)
class Speed:
    tokens: Rows
    """(rows,) number of tokens passed forward, including prompts."""
    at_peak: npt.NDArray[np.float64] | None
    """(rows,) seconds that a row would take at the peak of all devices; null if the peak is unknown."""

    def rates(self, rows: Rows, seconds: float) -> dict[str, float | None]:
        """Tokens per second and MFU of training on `rows` in `seconds`."""
        return {
            "tokens_per_second": round(float(self.tokens[rows].sum()) / seconds, 1),
            "mfu": None if self.at_peak is None else float(self.at_peak[rows].sum()) / seconds,
        }


def speed(model: WithLoss, plan: Plan, device: torch.device, processes: int) -> Speed:
    """Speed of training `model`, which must not be wrapped, though its weights may be sharded."""
    tokens = plan.lengths - 1
    peak = peak_flops(device)
    operations = row_operations(model, tokens, plan.responses) if peak else None
    return Speed(tokens, None if peak is None or operations is None else operations / (peak * processes))


def row_operations(model: WithLoss, tokens: Rows, responses: Rows) -> npt.NDArray[np.float64] | None:
    """(rows,) floating point operations of a forward and backward pass, by the formula above.

    None for a mixture of experts, which uses only a part of its weights, and for quantised weights.
    """
    config = model.causal.config
    experts = any(
        getattr(config, key, None) for key in ("num_experts", "num_local_experts", "n_routed_experts")
    )
    if experts or getattr(config, "quantization_config", None):
        return None
    embedding, head = model.causal.get_input_embeddings(), model.causal.get_output_embeddings()
    ends = {id(parameter) for module in (embedding, head) for parameter in module.parameters()}
    layers = sum(_cost(parameter) for parameter in model.parameters() if id(parameter) not in ends)
    width = config.num_attention_heads * _head_dim(config)
    attention = 6 * config.num_hidden_layers * width * tokens.astype(np.float64) ** 2
    result: npt.NDArray[np.float64] = layers * tokens + _costs(head) * responses + attention
    return result


def peak_flops(device: torch.device) -> float | None:
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in BF16_PEAK.items() if part in name), None)


def peak_memory(device: torch.device) -> int:
    """Peak bytes: of tensors on a GPU, otherwise of this process's resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _head_dim(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _costs(module: nn.Module) -> float:
    return sum(_cost(parameter) for parameter in module.parameters())


def _cost(parameter: nn.Parameter) -> float:
    """Operations per token; DeepSpeed stores the size that a partitioned parameter had."""
    return (6.0 if parameter.requires_grad else 4.0) * getattr(parameter, "ds_numel", parameter.numel())
