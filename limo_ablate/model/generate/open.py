"""The engine of a configuration, ready to generate."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.model.generate.engine import Engine
from limo_ablate.model.train.load import end_of_turn, load_model, load_tokenizer, windowed


def check_engine(settings: EngineConfig, hardware: HardwareConfig) -> None:
    """Raises UserError when what `open_engine` will need is not there; loads no model."""
    here = hardware.processes // hardware.nodes
    if here % settings.tensor_parallel:
        raise UserError(
            f"tensor_parallel={settings.tensor_parallel} does not divide the {here} processes that "
            f"hardware={hardware.name} has on a machine"
        )
    if settings.engine == "vllm" and hardware.device != "cuda":
        raise UserError(
            f"engine=vllm needs a GPU, hardware={hardware.name} has none; use engine=transformers"
        )
    if settings.engine == "vllm" and find_spec("vllm") is None:
        raise UserError(
            "engine=vllm: vLLM is not installed; pip install 'limo-ablate[vllm]', or use engine=transformers"
        )
    _check_devices(hardware, here)


def open_engine(path: str, settings: EngineConfig, hardware: HardwareConfig, desk: Path) -> Engine:
    """An engine for the model in `path`, with as many copies of it as the trial's hardware holds.

    On several machines the copies are on the first one. `desk` is a folder for copies in processes of their
    own, which vLLM always gets: all of its GPU memory is free again when it is done. Raises UserError when
    the hardware is not there.
    """
    check_engine(settings, hardware)
    copies = hardware.processes // hardware.nodes // settings.tensor_parallel
    if copies > 1 or settings.engine == "vllm":
        from limo_ablate.model.generate.replicas import Replicas

        return Replicas(path, settings, hardware, copies, desk)
    return load_engine(path, settings, hardware)


Opener = Callable[[str, EngineConfig, HardwareConfig, Path], Engine]
"""`open_engine`, or what stands for it."""


def open_once() -> Opener:
    """`open_engine` for calls that all want the same engine: it is loaded with the first."""
    kept: list[Engine] = []

    def opener(path: str, settings: EngineConfig, hardware: HardwareConfig, desk: Path) -> Engine:
        if not kept:
            kept.append(open_engine(path, settings, hardware, desk))
        return kept[0]

    return opener


def load_engine(path: str, settings: EngineConfig, hardware: HardwareConfig) -> Engine:
    """The engine of `settings.engine`, with one copy of the model, loaded in this process."""
    import torch

    torch.set_num_threads(hardware.threads)
    if settings.engine == "vllm":
        from limo_ablate.model.generate.vllm import VllmEngine

        return VllmEngine(path, stop_ids(path), settings, hardware)
    model = load_model(
        path,
        dtype="bfloat16" if hardware.precision == "bf16" else "float32",
        attention="sdpa",  # decoding masks each sequence by itself, which FlashAttention's kernels can't
        device=hardware.device,
    )
    if settings.engine == "paged":
        from limo_ablate.model.generate.paged import PagedEngine

        return PagedEngine(model, stop_ids(path), settings.batch_size)
    if windowed(model):
        raise UserError(
            f"{path}: engine=transformers decodes models with full attention only, "
            "this one has sliding windows; use engine=paged or vllm"
        )
    from limo_ablate.model.generate.decoding import TransformersEngine

    return TransformersEngine(model, stop_ids(path), settings.batch_size)


def _check_devices(hardware: HardwareConfig, here: int) -> None:
    import torch

    if hardware.device == "cuda" and torch.cuda.device_count() < here:
        raise UserError(
            f"hardware={hardware.name} wants {here} GPU(s), {torch.cuda.device_count()} can be seen here; "
            "use hardware=cpu or fewer hardware.processes"
        )


def stop_ids(path: str) -> set[int]:
    """Tokens that end a completion: the template's end of turn, and what the model's own settings name."""
    from transformers import AutoConfig, GenerationConfig

    tokenizer = load_tokenizer(path)
    if (Path(path) / "generation_config.json").exists():
        settings = GenerationConfig.from_pretrained(path)
    else:
        settings = GenerationConfig.from_model_config(AutoConfig.from_pretrained(path))
    named = settings.eos_token_id
    own = named if isinstance(named, list) else [named]
    return {
        int(token) for token in (end_of_turn(tokenizer), tokenizer.eos_token_id, *own) if token is not None
    }
