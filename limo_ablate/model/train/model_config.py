"""Reads config.json of a model that may come from anyone: no code that nobody asked for, no sizes without
weights."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from limo_ablate.core.artifacts import digest_file
from limo_ablate.core.code import CODE_VARIABLE
from limo_ablate.core.errors import UserError
from limo_ablate.core.reading import read_json
from limo_ablate.model.config import ModelConfig

ADAPTER = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
LORA_OWN = (
    "r", "lora_alpha", "lora_dropout", "target_modules", "base_model_name_or_path", "revision",
    "inference_mode", "peft_version", "task_type",
)  # fmt: skip
"""Keys of an adapter_config.json that may have any value; none of the others is needed for LoRA itself, and
some name modules that peft imports."""
LORA_FIXED = {
    "peft_type": "LORA", "bias": "none", "init_lora_weights": True, "megatron_core": "megatron.core",
    "qalora_group_size": 16,
}  # fmt: skip
"""What others have by default, where that is not null, false or empty."""
LONGEST = 16_000_000
"""Bytes of a config.json: real ones have some thousand."""
COUNTED = re.compile("layer|expert|block")
"""In the names of numbers that say how many modules are built."""
FEW = 1024
"""Any model may have so many layers or experts, whatever its number of tensors."""
NO_LIMIT = 2**40
SCALED = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
"""Keys of a model's configuration that change the logits after the head."""
BUFFERS = 2**28
"""Elements that a model may have beside its weights: masks, angles."""


def allow_code(folder: Path) -> None:
    """Lets the Python files of a model run (`model.trust_remote_code`), in this process and those that it
    starts, here and in the folders of models trained from it; nothing where `may_allow_code` was not called.

    Raises UserError without such files, and where config.json names code of another model, which nobody has
    looked at."""
    if CODE_VARIABLE not in os.environ:
        return
    own = read_model_json(folder / "config.json").get("auto_map")
    names = [str(name) for name in own.values()] if isinstance(own, dict) else []
    if not (digests := _code_digests(folder)) or not names:
        raise UserError(
            f"model.trust_remote_code=true: {folder} has no code of its own (auto_map in config.json, *.py); "
            "leave it out"
        )
    if other := [name for name in names if "--" in name]:
        raise UserError(
            f"{folder / 'config.json'}: auto_map names code of another model, {other[0]}; copy it"
        )
    os.environ[CODE_VARIABLE] = " ".join({*os.environ.get(CODE_VARIABLE, "").split(), *digests})


def may_allow_code(trusted: bool = True) -> None:
    """Whether configurations are the user's, or trusted (`sweep/trust.py`), from here on; what was allowed
    before is forgotten."""
    os.environ.pop(CODE_VARIABLE, None)
    if trusted:
        os.environ[CODE_VARIABLE] = ""


def is_trusted() -> bool:
    """Whether configurations are the user's own, or of a study that was trusted."""
    return CODE_VARIABLE in os.environ


def model_code(path: str | None) -> str:
    """What identifies the Python files in a model's folder; empty for a model of the hub, whose revision
    does."""
    folder = Path(path or "").expanduser()
    digests = sorted(_code_digests(folder)) if path and folder.is_dir() else []
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16] if digests else ""


def code_allowed(folder: str | Path) -> bool:
    """Whether every Python file of the model is one that `allow_code` was given."""
    allowed = os.environ.get(CODE_VARIABLE, "").split()
    return bool(allowed) and bool(own := _code_digests(Path(folder))) and own.issubset(allowed)


def _code_digests(folder: Path) -> set[str]:
    return {digest_file(file) for file in folder.rglob("*.py")}


def known_folder(model: ModelConfig) -> Path | None:
    """The folder of a model of the hub, if it is on this machine."""
    if model.source != "hub" or not model.path:
        return None
    if (local := Path(model.path).expanduser()).is_dir():
        return local.absolute()
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = [
            try_to_load_from_cache(model.path, name, revision=model.revision)
            for name in ("config.json", "tokenizer.json")
        ]
    except HFValidationError:  # a folder that is not there
        return None
    return Path(str(found[0])).parent if all(isinstance(file, str) for file in found) else None


def read_model_json(file: Path, longest: int = LONGEST) -> dict[str, Any]:
    """A JSON file of a model's folder, which in the hub's cache is a link. Raises as `read_json` does."""
    if (size := file.stat().st_size) > longest:
        raise UserError(f"{file}: {size} bytes are no configuration of a model")
    content: dict[str, Any] = read_json(file.resolve())
    return content


def model_config(path: str | Path) -> Any:
    """The configuration of the model in `path`.

    Raises UserError for a model that needs code that may not run, or has more layers than its weights could
    fill.
    """
    from transformers import AutoConfig

    _check_counts(Path(path))
    try:
        return AutoConfig.from_pretrained(path, trust_remote_code=code_allowed(path))
    except OSError:
        raise
    except Exception as error:  # whatever class of transformers reads it
        raise UserError(f"{path}: {_why(error)}") from error


def meta_model(path: str | Path, config: Any | None = None) -> Any:
    """The model in `path` without weights, on the meta device. Raises UserError as `model_config`, and where
    config.json describes more weights than there are."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.modeling_utils import set_zero3_state

    config = config or model_config(path)
    try:
        with torch.device("meta"), set_zero3_state():  # which has ZeRO-3 build whole weights
            model = AutoModelForCausalLM.from_config(
                config, trust_remote_code=code_allowed(path), attn_implementation="eager"
            )
    except OSError:
        raise
    except Exception as error:  # whatever class of transformers reads it
        raise UserError(f"{path}: {_why(error)}") from error
    _check_sizes(Path(path), model)
    return model


def context_length(config: Any) -> int:
    """Tokens that a model's positions allow for prompt and answer together; a very large number where its
    configuration has no limit."""
    return getattr(config.get_text_config(), "max_position_embeddings", None) or NO_LIMIT


def has_sliding_window(config: Any) -> bool:
    """Whether any layer attends to only some of the earlier tokens, such as a sliding window."""
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    return kinds != {"full_attention"} or bool(getattr(text, "sliding_window", None))


def supports_attention(config: Any, attention: str) -> bool:
    """Whether transformers' class for this configuration has the implementation of attention."""
    from transformers import AutoModelForCausalLM

    kind = AutoModelForCausalLM._model_mapping.get(type(config), None)
    flag = {"sdpa": "_supports_sdpa", "flash_attention_2": "_supports_flash_attn"}.get(attention)
    return flag is None or kind is None or bool(getattr(kind, flag))


def check_logits(config: Any) -> None:
    """Raises UserError for a model whose logits are not those of its head, of which the loss is."""
    text = config.get_text_config()
    if scaled := [key for key in SCALED if getattr(text, key, None) not in (None, 1.0)]:
        raise UserError(
            f"model: {config.model_type} changes its logits after the head ({scaled[0]}="
            f"{getattr(text, scaled[0])}), which this training does not support; use another model"
        )


def check_attention(name: str, config: Any, attention: str) -> None:
    """Raises UserError where transformers has no such attention for the model."""
    if not supports_attention(config, attention):
        raise UserError(
            f"model.attention={attention}: transformers has none for {config.model_type} ({name}); set "
            "model.attention=eager"
        )


def check_adapter(folder: Path) -> list[str]:
    """The names of the modules that a LoRA adapter changes.

    Raises UserError for an adapter with settings that plain LoRA has not, with a rank that its weights have
    not, or without weights as safetensors, for which peft would read pickles or ask the hub.
    """
    from safetensors import SafetensorError, safe_open

    content = read_model_json(file := folder / ADAPTER)
    for key, value in content.items():
        if key not in LORA_OWN and value and value != LORA_FIXED.get(key):
            raise UserError(f"{file}: {key}={value!r}: only plain LoRA adapters are read; merge it yourself")
    targets, rank = content.get("target_modules"), content.get("r")
    if not isinstance(targets, list) or not all(isinstance(name, str) for name in targets):
        raise UserError(f"{file}: target_modules={targets!r}: must be a list of names")
    if not (weights := folder / ADAPTER_WEIGHTS).is_file():
        raise UserError(f"{folder} has no {ADAPTER_WEIGHTS}; an adapter's weights must be safetensors")
    try:
        with safe_open(weights, "numpy") as tensors:
            sizes = {size for name in tensors.keys() for size in tensors.get_slice(name).get_shape()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"{weights}: can't be read ({error}); copy the adapter again") from error
    if content.get("peft_type") != "LORA" or type(rank) is not int or rank not in sizes:
        raise UserError(f"{file}: r={rank}, peft_type={content.get('peft_type')}: its weights are not such")
    return targets


def _why(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "custom code" in text or "does not recognize" in text:
        if CODE_VARIABLE not in os.environ:
            return "the model needs code that transformers has not, and nobody has said that it may run"
        return (
            "the model needs code that transformers has not; read what comes with it, and set "
            "model.trust_remote_code=true to run that"
        )
    return f"its config.json can't be used: {type(error).__name__}: {text[:300]}"


def _check_counts(folder: Path) -> None:
    file = folder / "config.json"
    if not file.is_file():
        return  # transformers says so
    content = read_model_json(file)
    numbers = [(key, number) for key, number in _numbers(content) if number > FEW and COUNTED.search(key)]
    if numbers and (most := max(FEW, _tensors(folder))) < max(number for _, number in numbers):
        key, number = max(numbers, key=lambda pair: pair[1])
        raise UserError(f"{file}: {key}={number}, but the weights have only {most} tensors")


def _numbers(content: Any, key: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(content, dict):
        for name, value in content.items():
            yield from _numbers(value, name)
    elif isinstance(content, list):
        for value in content:
            yield from _numbers(value, key)
    elif isinstance(content, int):
        yield key, content


def _tensors(folder: Path) -> int:
    from safetensors import safe_open

    count = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "numpy") as tensors:
            count += len(tensors.keys())
    return count


def _check_sizes(folder: Path, model: Any) -> None:
    """Raises UserError where the files are too small for the model's weights.

    Those of an adapter's base model are checked when that is loaded.
    """
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if not size:
        return  # loading says so
    packed = 8 if getattr(model.config, "quantization_config", None) else 1  # weights in a byte, at most
    weights = sum(parameter.numel() for parameter in model.parameters())
    buffers = sum(buffer.numel() for buffer in model.buffers())
    if (weights > packed * size and not (folder / ADAPTER).exists()) or buffers > max(BUFFERS, packed * size):
        raise UserError(
            f"{folder}: its config.json describes {weights} weights and {buffers} other numbers, but its "
            f"*.safetensors have only {size} bytes; download the model again"
        )
