"""Loads engines, and defines those that come with limo-ablate; imports nothing heavy itself."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    if hardware.device != "cuda":
        raise UserError(
            f"engine=vllm needs a GPU, hardware={hardware.name} has none; use engine=transformers"
        )
    if find_spec("vllm") is None:
        raise UserError(
            "engine=vllm: vLLM is not installed; pip install 'limo-ablate[vllm]', or use engine=transformers"
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
VLLM = EngineKind(load=_vllm, check=_check_vllm, own_process=True, splits_model=True, reads_adapters=False)
