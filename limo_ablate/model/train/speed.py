"""How fast a training is: tokens a second, and the share of the devices' peak that its arithmetic uses (MFU).

A row of n tokens, r of them learnt, takes 6 N n + 6 H r + 6 L D n^2 operations (Chowdhery et al. 2022,
appendix B, whose 12 L D n^2 is for attention that is not causal): N are the parameters of the layers, H those
of the LM head, which runs where a token is learnt, L the layers, D the width of all heads together. A frozen
weight has no gradient: 4 instead of 6. What gradient checkpointing computes again is not counted.
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
"""Dense bf16 operations a second, from NVIDIA's data sheets; the first name that a device's name contains."""


@dataclass(frozen=True, slots=True)
class Speed:
    tokens: Rows
    """(rows,) tokens passed forward, prompts included."""
    at_peak: npt.NDArray[np.float64] | None
    """(rows,) seconds that a row would take at the peak of all devices; null where that is not known."""

    def facts(self, rows: Rows, seconds: float) -> dict[str, float | None]:
        """Of `rows` trained on in `seconds`."""
        return {
            "tokens_per_second": round(float(self.tokens[rows].sum()) / seconds, 1),
            "mfu": None if self.at_peak is None else float(self.at_peak[rows].sum()) / seconds,
        }


def speed(model: WithLoss, plan: Plan, device: torch.device, processes: int) -> Speed:
    """`model` is the whole one, not what wraps it; its weights may be sharded."""
    tokens = plan.lengths - 1
    peak = peak_flops(device)
    operations = row_operations(model, tokens, plan.responses) if peak else None
    return Speed(tokens, None if peak is None or operations is None else operations / (peak * processes))


def row_operations(model: WithLoss, tokens: Rows, learnt: Rows) -> npt.NDArray[np.float64] | None:
    """(rows,) floating point operations of a forward and backward pass, by the formula above.

    None for a mixture of experts, which uses a part of its weights, and for quantised weights.
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
    result: npt.NDArray[np.float64] = layers * tokens + _costs(head) * learnt + attention
    return result


def peak_flops(device: torch.device) -> float | None:
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in BF16_PEAK.items() if part in name), None)


def peak_memory(device: torch.device) -> int:
    """Bytes: on a GPU the most that tensors have taken, else the most that this process has had in memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _head_dim(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _costs(module: nn.Module) -> float:
    return sum(_cost(parameter) for parameter in module.parameters())


def _cost(parameter: nn.Parameter) -> float:
    """Operations of one token; DeepSpeed says how many there were before it parted them."""
    return (6.0 if parameter.requires_grad else 4.0) * getattr(parameter, "ds_numel", parameter.numel())
