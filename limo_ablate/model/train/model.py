"""The model as it is trained: full-parameter or LoRA, and as it is saved, in the hub's format or peft's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from limo_ablate.model.train.attention import attend_row_wise
from limo_ablate.model.train.base import Reference
from limo_ablate.model.train.checkpoint import told_when_full
from limo_ablate.model.train.config import TrainConfig
from limo_ablate.model.train.load import load_model
from limo_ablate.model.train.lora import merged, save_adapter, with_lora

if TYPE_CHECKING:
    from limo_ablate.model.train.loop import Job


def trainable_model(job: Job, device: torch.device) -> nn.Module:
    """The model in training mode; what is trained is float32, also under bf16 mixed precision.

    bf16 weights would lose updates as small as the paper's learning rate makes them. Weights that LoRA
    leaves alone stay in the precision of the forward pass. On `meta` it has no weights.
    """
    frozen_in_bf16 = job.train.lora is not None and job.hardware.precision == "bf16"
    model: Any = load_model(
        job.model,
        dtype="bfloat16" if frozen_in_bf16 else "float32",
        attention=job.reference.attention,
        device=str(device),
        quantize=job.train.lora.quantize if job.train.lora else "none",
    )
    attend_row_wise(model)
    if job.train.gradient_checkpointing:
        # transformers 5.23 renames it; 5.17 has the old name only
        enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
        enable({"use_reentrant": False})
    if job.train.compile:
        compile_layers(model)
    if job.train.lora is not None:
        model = with_lora(model, job.train.lora)
    network: nn.Module = model.train()
    return network


def compile_layers(model: nn.Module) -> None:
    """Compiles each decoder layer by itself, once for all lengths; attention stays outside (`attention.py`).

    Not the module but its forward pass is compiled: hooks, of FSDP2 for one, stay as they are.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            layer.forward = torch.compile(layer.forward, dynamic=True)


def adamw(model: nn.Module, train: TrainConfig) -> torch.optim.AdamW:
    """AdamW in one fused kernel; norms and biases are not decayed."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if len(_shape(p)) >= 2], "weight_decay": train.weight_decay},
        {"params": [p for p in parameters if len(_shape(p)) < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=train.learning_rate, betas=train.betas, fused=True)


def _shape(parameter: nn.Parameter) -> Sequence[int]:
    """Of the whole, also where DeepSpeed has left a stump in its place."""
    shape: Sequence[int] = getattr(parameter, "ds_shape", parameter.shape)
    return shape


def save_model(network: Any, job: Job) -> None:
    """Saves the weights of `trainable_model(job)`, whole again: with adapters merged, or these alone."""
    folder, lora = Path(job.folder), job.train.lora
    if lora is not None and lora.save == "adapter":
        with told_when_full(folder, _bytes(network, learnt=True), "the trained adapter"):
            save_adapter(network, job.reference.hub or base_folder(job), folder)
        return
    network = merged(network, job) if lora is not None else network
    network.to(getattr(torch, job.reference.dtype))
    with told_when_full(folder, _bytes(network), "the trained weights"):
        network.save_pretrained(folder)


def _bytes(network: nn.Module, learnt: bool = False) -> int:
    """Of all parameters, or of those that are learnt."""
    return sum(p.nbytes for p in network.parameters() if p.requires_grad or not learnt)


def saved_reference(job: Job) -> Reference:
    """How what `save_model` saves is loaded: an adapter upon its base, all else by itself."""
    if job.train.lora is None or job.train.lora.save == "merged":
        return Reference(dtype=job.reference.dtype, attention=job.reference.attention)
    folder = None if job.reference.hub else base_folder(job)
    return replace(job.reference, adapter=True, folder=folder)


def base_folder(job: Job) -> str:
    """A base model beside the result in the store is found from there, wherever the store lies."""
    return job.reference.folder or os.path.relpath(job.model, job.folder)
