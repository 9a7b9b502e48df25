"""The model that is trained (all parameters or LoRA), and how it is saved (the hub's format or peft's)."""

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
from limo_ablate.model.train.checkpoint import clear_disk_full_error, require_space
from limo_ablate.model.train.config import TrainConfig
from limo_ablate.model.train.load import load_model
from limo_ablate.model.train.lora import merged, reads_base_again, save_adapter, with_lora

if TYPE_CHECKING:
    from limo_ablate.model.train.job import TrainingJob


def trainable_model(job: TrainingJob, device: torch.device) -> nn.Module:
    """The model in training mode; trained weights are float32, also under bf16 mixed precision.

    bf16 weights would lose updates as small as those of the paper's learning rate. Weights that LoRA freezes
    are in the precision of the forward pass. On `meta` the model has no weights.
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
        # transformers 5.23 renamed it; 5.17 only has the old name
        enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
        enable({"use_reentrant": False})
    if job.train.compile:
        compile_layers(model)
    if job.train.lora is not None:
        model = with_lora(model, job.train.lora)
    network: nn.Module = model.train()
    return network


def compile_layers(model: nn.Module) -> None:
    """Compiles each decoder layer, once for all lengths; attention is excluded (`attention.py`).

    The forward pass is compiled rather than the module, so that hooks such as FSDP2's keep working.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            layer.forward = torch.compile(layer.forward, dynamic=True)


def adamw(model: nn.Module, train: TrainConfig) -> torch.optim.AdamW:
    """AdamW in one fused kernel; no weight decay for norms and biases."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if len(_shape(p)) >= 2], "weight_decay": train.weight_decay},
        {"params": [p for p in parameters if len(_shape(p)) < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=train.learning_rate, betas=train.betas, fused=True)


def _shape(parameter: nn.Parameter) -> Sequence[int]:
    """Shape of the whole parameter, which DeepSpeed may have replaced by a placeholder."""
    shape: Sequence[int] = getattr(parameter, "ds_shape", parameter.shape)
    return shape


def save_model(network: Any, job: TrainingJob) -> None:
    """Saves the whole weights of `trainable_model(job)` with adapters merged, or only the adapters."""
    folder, lora = Path(job.folder), job.train.lora
    if lora is not None and lora.save == "adapter":
        require_space(folder, needed := _bytes(network, trained_only=True), "the trained adapter")
        with clear_disk_full_error(folder, needed, "the trained adapter"):
            save_adapter(network, job.reference.hub or base_folder(job), folder)
        return
    network = merged(network, job) if lora is not None else network
    network.to(getattr(torch, job.reference.dtype))
    require_space(folder, needed := _bytes(network), "the trained weights")
    with clear_disk_full_error(folder, needed, "the trained weights"):
        network.save_pretrained(folder)


def saves_without_change(job: TrainingJob) -> bool:
    """Whether `save_model` leaves the model as it is: it saves adapters alone, or reads the base again."""
    return job.train.lora is not None and (job.train.lora.save == "adapter" or reads_base_again(job))


def _bytes(network: nn.Module, trained_only: bool = False) -> int:
    """Bytes of all parameters, or of the trained ones."""
    return sum(p.nbytes for p in network.parameters() if p.requires_grad or not trained_only)


def saved_reference(job: TrainingJob) -> Reference:
    """How to load what `save_model` saves: an adapter needs its base, a whole model nothing else."""
    if job.train.lora is None or job.train.lora.save == "merged":
        return Reference(dtype=job.reference.dtype, attention=job.reference.attention)
    folder = None if job.reference.hub else base_folder(job)
    return replace(job.reference, adapter=True, folder=folder)


def base_folder(job: TrainingJob) -> str:
    """Folder of the base model; relative if it is in the store, so that the store can be moved."""
    return job.reference.folder or os.path.relpath(job.model, job.folder)
