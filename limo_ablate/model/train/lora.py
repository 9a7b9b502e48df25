"""LoRA (Hu et al. 2021) and QLoRA (Dettmers et al. 2023) with peft: add, merge and save adapters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from limo_ablate.core.errors import UserError
from limo_ablate.model.train.config import LoraConfig
from limo_ablate.model.train.load import load_model
from limo_ablate.model.train.merge import check_targets, merge

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from limo_ablate.model.train.job import TrainingJob


def with_lora(model: PreTrainedModel, lora: LoraConfig) -> nn.Module:
    """Adds LoRA to a model; raises UserError for targets that it does not have, or that are tied."""
    import peft

    check_targets(model, lora.targets, "train.lora.targets")
    config = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        task_type="CAUSAL_LM",
    )
    try:
        adapted: nn.Module = peft.get_peft_model(model, config)
    except ValueError as error:  # a module that is no linear map, convolution or embedding
        raise UserError(f"train.lora.targets: {' '.join(str(error).split())[:200]}") from error
    return adapted


def reads_base_again(job: TrainingJob) -> bool:
    """Whether adapters are merged into a base that is read again, as that of the training was rounded."""
    lora, rounded = job.train.lora, job.hardware.precision == "bf16" and job.reference.dtype != "bfloat16"
    return lora is not None and (lora.quantize != "none" or rounded)


def merged(network: Any, job: TrainingJob) -> Any:
    """The model with its adapters merged, in the type it is stored in; a base that was quantised or rounded
    for the training is read again first."""
    import peft

    lora, dtype = job.train.lora, job.reference.dtype
    assert lora is not None
    if reads_base_again(job):
        adapters = peft.get_peft_model_state_dict(network, save_embedding_layers=False)
        whole = load_model(job.model, dtype=dtype, attention=job.reference.attention, device="cpu")
        network = with_lora(whole, lora)
        peft.set_peft_model_state_dict(network, adapters)
    return merge(network.cpu(), dtype)


def save_adapter(network: Any, base: str, folder: Path) -> None:
    """Saves the adapter in peft's format and the model's configuration; peft loads its base from `base`."""
    network.peft_config["default"].base_model_name_or_path = base
    network.save_pretrained(
        folder, save_embedding_layers=False
    )  # otherwise peft asks the hub whether the embeddings changed
    (folder / "README.md").unlink()  # an empty model card
    network.get_base_model().config.save_pretrained(folder)
    network.get_base_model().generation_config.save_pretrained(folder)
