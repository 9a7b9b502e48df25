"""Whether a study's trials fit into memory, before anything is downloaded; see docs/memory.md."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from limo_ablate.core.hardware import gpu_memories
from limo_ablate.sweep.plan.cost import shape_of
from limo_ablate.sweep.plan.work import COMPLETION_SHARE, ROW_SHARE
from limo_ablate.trial.config import TrialConfig

if TYPE_CHECKING:
    from limo_ablate.model.train.memory_check import Demand

GPUS = (24e9, 48e9, 80e9, 96e9, 141e9, 192e9)
"""Memory of GPUs on the market, in bytes."""
ASSUMED = 80e9
"""Memory of a GPU, in bytes, assumed where this machine has none."""
PROMPT = 100
"""Assumed tokens of a prompt."""
SAVED, CHECKPOINT = {"float32": 4, "bfloat16": 2}, 12
"""Bytes per parameter of saved weights, and of a checkpoint's weights and optimiser state."""
VLLM_SHARE = 0.9
"""Share of a GPU's memory that vLLM takes."""
SAMPLE = 256
"""Most rows for which packing is simulated."""


@dataclass(frozen=True, slots=True)
class Fit:
    model: str
    hardware: str
    training: int | None
    """Peak bytes on a device in training; null where nothing is trained or the model's shape is not known."""
    decoding: int
    """Bytes on a device in decoding: weights, and keys and values of completions of the expected length."""
    capacity: int
    """Bytes of memory of a device."""
    known: bool
    """Whether the capacity is this machine's or was given; else it is assumed."""
    advice: str | None
    """What would fit, where the trial does not."""
    checkpoint: int = 0
    """Bytes of a checkpoint on the disk; 0 where nothing is trained."""
    saved: int = 0
    """Bytes of the weights that a training leaves."""

    @property
    def needed(self) -> int:
        return max(self.training or 0, self.decoding)

    @property
    def holds(self) -> bool:
        return self.needed <= self.capacity

    @property
    def smallest(self) -> float | None:
        """Memory of the smallest GPU in which it fits."""
        return next((size for size in GPUS if size >= self.needed), None)


def fits(configs: Iterable[TrialConfig], gpu: float | None = None) -> list[Fit]:
    """The largest need of each model on each hardware. `gpu`: bytes of a GPU; None: this machine's."""
    kinds: dict[tuple[str | int | None, ...], TrialConfig] = {}
    for config in configs:
        kinds.setdefault(_decisive(config), config)
    gpu = gpu or min(gpu_memories(), default=None)
    worst: dict[tuple[str, str], Fit] = {}
    for fit in (_fit(config, gpu) for config in kinds.values()):
        place = fit.model, fit.hardware
        worst[place] = max(worst.get(place, fit), fit, key=lambda fit: (fit.training or 0, fit.decoding))
    return list(worst.values())


def _decisive(config: TrialConfig) -> tuple[str | int | None, ...]:
    """Everything that memory depends on; the number of rows matters only where it is small."""
    train, settings = config.train, config.eval
    trained = (
        repr(train.lora), train.micro_batch_tokens, train.max_length, train.gradient_checkpointing,
        train.global_batch_size, min(config.select.size or SAMPLE, SAMPLE),
    )  # fmt: skip
    longest = max((b.max_tokens for b in settings.benchmarks.values()), default=0)
    settings_key = (config.model.name, config.model.path, repr(config.hardware), settings.batch_size, longest)
    return settings_key + (trained if config.select.size != 0 else ())


def _fit(config: TrialConfig, gpu: float | None) -> Fit:
    from limo_ablate.model.train.memory_check import FreeMemory, advice, free_main_memory

    name, hardware, on_gpu = config.model.name, config.hardware.name, config.hardware.device == "cuda"
    room = int(gpu or ASSUMED) if on_gpu else free_main_memory() // config.hardware.processes
    known = not on_gpu or gpu is not None
    if shape_of(config.model) is None:
        return Fit(name, hardware, None, 0, room, known, None)
    training, decoding, advice_parts = None, _decoding(config), []
    if config.select.size != 0:
        demand = _demand(config)
        training = demand.forecast().total
        if training > room:
            advice_parts.append(advice(demand, FreeMemory(room, 2**63 if on_gpu else free_main_memory())))
    if decoding > room:
        advice_parts.append(_decoding_advice(config, room))
    said = ". ".join(advice_parts) or None
    return Fit(name, hardware, training, decoding, room, known, said, *_on_disk(config))


def _on_disk(config: TrialConfig) -> tuple[int, int]:
    """Bytes of a checkpoint (weights, and AdamW's two states of the trained ones), and of what is kept."""
    from limo_ablate.model.train.shapes import declared_shape

    lora = config.train.lora
    if config.select.size == 0:
        return 0, 0
    shape = declared_shape(config.model, lora.targets if lora else ())
    saved, models = SAVED[config.model.dtype] * shape.parameters, config.eval.models
    if lora is None:
        return CHECKPOINT * shape.parameters, models * saved
    adapters = shape.adapters * lora.rank
    frozen = (2 if config.hardware.precision == "bf16" else 4) * shape.parameters
    return CHECKPOINT * adapters + frozen, models * (4 * adapters if lora.save == "adapter" else saved)


def _demand(config: TrialConfig) -> Demand:
    """A training with rows of the expected length, and one of the greatest length."""
    from limo_ablate.model.train.memory_check import Demand
    from limo_ablate.model.train.token_rows import blank_rows

    count, longest = min(config.select.size or SAMPLE, SAMPLE), config.train.max_length
    lengths = [longest, *[round(ROW_SHARE * longest)] * (count - 1)]
    rows = blank_rows(lengths, min(PROMPT, longest // 4))
    train = replace(config.train, dev=None, steps=None, epochs=1, tokens=None)
    return Demand(rows, config.model, train, config.hardware)


def _decoding(config: TrialConfig) -> int:
    settings = config.eval
    completions = settings.batch_size * COMPLETION_SHARE
    return _decoding_bytes(config, completions) // settings.tensor_parallel


def _decoding_bytes(config: TrialConfig, completions: float) -> int:
    """Bytes of the weights, and of the keys and values of so many completions of the greatest length."""
    shape = shape_of(config.model)
    assert shape is not None
    size = 2 if config.hardware.precision == "bf16" else 4
    longest = max((b.max_tokens for b in config.eval.benchmarks.values()), default=0)
    return int(size * (shape.parameters + 2 * shape.layers * shape.keys * completions * longest))


def _decoding_advice(config: TrialConfig, room: int) -> str:
    """A batch that fits, and vLLM, which holds as many completions as fit and divides the model."""
    batch = config.eval.batch_size
    ways: list[str] = []
    while batch > 1 and not ways:
        batch //= 2
        if _decoding(replace(config, eval=replace(config.eval, batch_size=batch))) <= room:
            ways.append(f"eval.batch_size={batch}")
    if config.hardware.device == "cuda" and (width := _tensor_parallel(config, room)):
        here = config.hardware.processes // config.hardware.nodes
        more = f" on {width} GPUs of a machine" if here % width else ""
        ways.append(f"eval.engine=vllm eval.tensor_parallel={width}{more}")
    if not ways:
        return "No eval.batch_size and no eval.tensor_parallel fits"
    return f"It would decode with {', or with '.join(ways)}"


def _tensor_parallel(config: TrialConfig, room: int) -> int | None:
    """The fewest GPUs over which vLLM can divide the model so that one completion fits beside it."""
    shape = shape_of(config.model)
    needed = _decoding_bytes(config, 1)
    widths = [width for width in (1, 2, 4, 8, 16) if shape and shape.heads % width == 0]
    return next((width for width in widths if needed / width <= VLLM_SHARE * room), None)
