"""LoRA adapters and the weights that they change: how they are merged, and which they can't change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from limo_ablate.core.errors import UserError
from limo_ablate.model.train.shapes import tied_message

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def merge(network: Any, dtype: str) -> PreTrainedModel:
    """The model with its adapters merged, its weights of `dtype`; `network` is one of peft's, on the CPU.

    Weights of `dtype` and changes are added in float32, and the sum is rounded once: the same weights whether
    they are merged after the training or each time an adapter is loaded.
    """
    from peft.tuners.lora import LoraLayer

    kind = getattr(torch, dtype)
    for module in network.modules():
        if isinstance(module, LoraLayer):
            module.get_base_layer().to(kind).float()
    whole: PreTrainedModel = network.merge_and_unload()
    return cast_weights(whole, dtype)


def cast_weights(model: PreTrainedModel, dtype: str) -> PreTrainedModel:
    """The model with its weights of `dtype`; the angles of its positions stay float32."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(getattr(torch, dtype))
    return model


def check_targets(model: PreTrainedModel, targets: Iterable[str], where: str) -> None:
    """Raises UserError for LoRA on modules that the model does not have, or whose weights are tied."""
    modules = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    if unknown := sorted({*targets} - modules):
        raise UserError(f"{where}: the model has no module named {', '.join(unknown)}")
    check_tied(model, targets, where)


def check_tied(model: PreTrainedModel, targets: Iterable[str], where: str) -> None:
    """Raises UserError for LoRA on an embedding whose weights are the LM head's too, or on such a head: only
    one of the two is adapted in training, and both once the adapter is merged (peft's issue 2777)."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head is None or embedding.weight is not head.weight:
        return
    ends = {name.rpartition(".")[2] for name, module in model.named_modules() if module in (embedding, head)}
    if tied := sorted(ends & {target.rpartition(".")[2] for target in targets}):
        raise UserError(tied_message(where, tied))
