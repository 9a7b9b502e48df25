"""The model as it is trained: full-parameter or LoRA, and as it is saved: whole, in the hub's format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from limo_ablate.config import TrainConfig
from limo_ablate.errors import UserError
from limo_ablate.train.attention import attend_row_wise
from limo_ablate.train.load import load_model
from limo_ablate.train.processes import SHARDED

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel

    from limo_ablate.train.loop import Job


def trainable_model(job: Job, device: torch.device) -> nn.Module:
    """The model in training mode; what is trained is float32, also under bf16 mixed precision.

    bf16 weights would lose updates as small as the paper's learning rate makes them. Weights that LoRA
    leaves alone stay in the precision of the forward pass. A model that will be sharded is not put on
    `device`, which could not hold it.
    """
    frozen_in_bf16 = job.train.lora is not None and job.hardware.precision == "bf16"
    model: Any = load_model(
        job.model,
        dtype="bfloat16" if frozen_in_bf16 else "float32",
        attention=job.reference.attention,
        device="cpu" if job.hardware.strategy in SHARDED else str(device),
    )
    attend_row_wise(model)
    if job.train.gradient_checkpointing:
        # transformers 5.23 renames it; 5.17 has the old name only
        enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
        enable({"use_reentrant": False})
    if job.train.lora is not None:
        model = _with_lora(model, job.train)
    network: nn.Module = model.train()
    return network


def _with_lora(model: PreTrainedModel, train: TrainConfig) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    assert train.lora is not None
    modules = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    if unknown := sorted(set(train.lora.targets) - modules):
        raise UserError(f"train.lora.targets: the model has no module named {', '.join(unknown)}")
    config = LoraConfig(
        r=train.lora.rank,
        lora_alpha=train.lora.alpha,
        lora_dropout=train.lora.dropout,
        target_modules=list(train.lora.targets),
        task_type="CAUSAL_LM",
    )
    adapted: nn.Module = get_peft_model(model, config)
    return adapted


def adamw(model: nn.Module, train: TrainConfig) -> torch.optim.AdamW:
    """AdamW in one fused kernel; norms and biases are not decayed."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": train.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=train.learning_rate, betas=train.betas, fused=True)


def save_model(accelerator: Accelerator, model: nn.Module, job: Job) -> None:
    """Saves the whole weights, adapters merged, from the main process; every process calls it."""
    network: Any = accelerator.unwrap_model(model)
    stored = getattr(torch, job.reference.dtype)
    if job.hardware.strategy in SHARDED:
        whole = accelerator.get_state_dict(model)
        state = {name: value.to(stored) for name, value in whole.items()}
    else:
        network = network.merge_and_unload() if job.train.lora else network
        state = network.to(stored).state_dict()
    if accelerator.is_main_process:
        network.save_pretrained(job.folder, state_dict=state)
