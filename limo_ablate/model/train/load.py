"""Loads tokenizers and models in the hub's format, in the same way for training and generation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from limo_ablate.core.errors import UserError
from limo_ablate.model.train.chat import begins_with_bos, turn_end
from limo_ablate.model.train.model_config import ADAPTER, check_adapter, code_allowed

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

DEFAULT_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }}\n\n"
    "{% elif message['role'] == 'user' %}Problem: {{ message['content'] }}\n\nSolution:\n"
    "{% else %}{{ message['content'] }}{{ eos_token }}{% endif %}"
    "{% endfor %}"
)
"""Chat template for base models without one: plain text, since their vocabulary has no role tokens.

The prompt ends in a new line, as no token spans it and what follows: a space would be a token of its own
before the answer, which texts never have, for they have it in the token of the word.
"""


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerFast:
    """The tokenizer exactly as described by `tokenizer.json` in `path`.

    `AutoTokenizer` is not used: for a folder with a Qwen2 model it rebuilds Qwen2's own byte-level tokenizer
    around the vocabulary, which gives wrong ids for any other kind of tokenizer. A tokenizer without a chat
    template gets `DEFAULT_CHAT_TEMPLATE`, after BOS where it begins texts with it. Raises UserError without
    `tokenizer.json`.
    """
    from transformers import PreTrainedTokenizerFast

    if not (Path(path) / "tokenizer.json").is_file():
        raise UserError(f"{path}: no tokenizer.json; save the tokenizer with transformers' save_pretrained")
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(path)
    if tokenizer.chat_template is None:
        bos = "{{ bos_token }}" if begins_with_bos(tokenizer) else ""
        tokenizer.chat_template = bos + DEFAULT_CHAT_TEMPLATE
    return tokenizer


def end_of_turn(tokenizer: PreTrainedTokenizerFast) -> int:
    """Id of the token that ends an assistant's turn. Raises UserError as `turn_end`."""
    return turn_end(tokenizer)[1][-1]


def load_model(
    path: str | Path,
    *,
    dtype: Literal["float32", "bfloat16"],
    attention: Literal["sdpa", "eager", "flash_attention_2"],
    device: str,
    quantize: Literal["none", "nf4"] = "none",
) -> PreTrainedModel:
    """The causal language model in `path` (safetensors, sharded or not), in evaluation mode on `device`.

    A LoRA adapter in `path` is merged into its base. On `meta` the model has no weights, and none are read;
    its buffers are on the CPU. Raises UserError if weights are damaged or missing (transformers would fill
    them with random numbers), or if the package for `attention` is not installed.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    from limo_ablate.model.train.model_config import check_attention, meta_model, model_config

    if device == "meta":
        return _empty_model(path, dtype, attention)
    if (Path(path) / ADAPTER).exists():
        return _with_adapter(Path(path), dtype, attention, device)
    logging.disable_progress_bar()
    config = model_config(path)
    check_attention(str(path), config, attention)
    meta_model(path, config)
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=getattr(torch, dtype),
            attn_implementation=attention,
            use_safetensors=True,
            trust_remote_code=code_allowed(path),
            output_loading_info=True,
            **(_four_bits(dtype, device) if quantize == "nf4" else {}),
        )
    except SafetensorError as error:
        raise UserError(f"{path}: its weights can't be read ({error}); download the model again") from error
    except ImportError as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"model.attention={attention}: {reason} Install it, or use sdpa") from error
    if missing := sorted(report["missing_keys"]):
        what = f"{len(missing)} weights are missing ({missing[0]}, ...)"
        raise UserError(f"{path}: {what}; download the model again")
    loaded: PreTrainedModel = model if quantize == "nf4" else model.to(device)
    return loaded.eval()


def _with_adapter(
    path: Path,
    dtype: Literal["float32", "bfloat16"],
    attention: Literal["sdpa", "eager", "flash_attention_2"],
    device: str,
) -> PreTrainedModel:
    from peft import PeftModel

    from limo_ablate.model.train.base import adapter_base, adapter_dtype
    from limo_ablate.model.train.merge import cast_weights, check_tied, merge

    targets, stored = check_adapter(path), adapter_dtype(path)
    base = load_model(adapter_base(path), dtype=stored, attention=attention, device="cpu")
    check_tied(base, targets, f"{path}: target_modules")
    merged = cast_weights(merge(PeftModel.from_pretrained(base, path), stored), dtype)
    merged.requires_grad_()  # peft has frozen it
    loaded: PreTrainedModel = merged.to(device)
    return loaded.eval()


def _four_bits(dtype: str, device: str) -> dict[str, Any]:
    """QLoRA's NormalFloat with double quantisation; matrix products are computed in `dtype`."""
    from transformers import BitsAndBytesConfig

    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": settings, "device_map": {"": device}}


def _empty_model(path: str | Path, dtype: str, attention: str) -> PreTrainedModel:
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM, GenerationConfig
    from transformers.modeling_utils import set_zero3_state

    from limo_ablate.model.train.model_config import check_attention, meta_model, model_config

    config = model_config(path)
    check_attention(str(path), config, attention)
    meta_model(path, config)
    with init_empty_weights(include_buffers=False), set_zero3_state():
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            config,
            dtype=getattr(torch, dtype),
            attn_implementation=attention,
            trust_remote_code=code_allowed(path),
        )
    model.tie_weights()  # the context manager unties them
    if (Path(path) / "generation_config.json").exists():
        model.generation_config = GenerationConfig.from_pretrained(path)
    return model.eval()
