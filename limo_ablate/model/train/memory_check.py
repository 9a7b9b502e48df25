"""Checks whether a training fits into memory: its forecast, the free memory, and settings that would fit."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import psutil

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.config import ModelConfig
from limo_ablate.model.train.config import LoraConfig, TrainConfig
from limo_ablate.model.train.memory import (
    Forecast,
    Load,
    NoForecast,
    forecast,
    heaviest_load,
    model_shape,
    size,
)
from limo_ablate.model.train.shapes import declared_shape
from limo_ablate.model.train.token_rows import TokenRows

TOLERANCE = 1.15
"""A forecast that exceeds the free memory by less than this factor is only a warning: it may be wrong."""
CGROUP = Path("/sys/fs/cgroup")
CGROUPS = (
    ("", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Folder, and files or entries for limit, use and cached use; control groups of version 2 and 1."""
MOST_PROCESSES = 64
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FreeMemory:
    """Bytes that are free for a training."""

    device: int
    """Bytes for each process."""
    host: int
    """Bytes of main memory of each machine."""

    def holds(self, needed: Forecast) -> bool:
        return needed.total <= self.device and needed.host <= self.host


@dataclass(frozen=True, slots=True)
class Demand:
    """Everything about a training that its memory depends on."""

    rows: TokenRows
    model: str | ModelConfig
    """Folder of the base model, or its configuration if it is not downloaded yet."""
    train: TrainConfig
    hardware: HardwareConfig

    def load(self) -> Load:
        return heaviest_load(self.rows, self.train, self.hardware)

    def forecast(self) -> Forecast:
        """Raises NoForecast for a model of an architecture that has none."""
        targets = self.train.lora.targets if self.train.lora else ()
        if isinstance(self.model, ModelConfig):
            shape = declared_shape(self.model, targets)
        else:
            shape = model_shape(self.model, targets)
        return forecast(shape, self.load(), self.train, self.hardware)


def check_memory(demand: Demand) -> None:
    """Logs forecast and free memory; raises UserError if the training can't fit, with settings that would."""
    free = free_memory(demand.hardware)
    try:
        needed = demand.forecast()
    except NoForecast as error:
        logger.warning("memory: %s; %s free", error, size(free.device))
        return
    kind = "GPU" if demand.hardware.device == "cuda" else "process"
    logger.info("memory of a %s: %s; %s free", kind, needed, size(free.device))
    if free.holds(needed):
        return
    lacking = f"{size(needed.total)} per {kind}, and {size(free.device)} are free"
    if needed.total <= free.device:
        lacking = f"{size(needed.host)} of the machine's main memory, and {size(free.host)} are free"
    if needed.total <= TOLERANCE * free.device and needed.host <= TOLERANCE * free.host:
        logger.warning("the training may not fit: it needs about %s", lacking)
        return
    raise UserError(f"hardware={demand.hardware.name}: the training needs {lacking}. {advice(demand, free)}")


Alternatives: TypeAlias = Iterator[tuple[str, Demand]]
"""Overrides, and the demand of the training with them."""


def advice(demand: Demand, free: FreeMemory) -> str:
    """Settings with which the training would fit, the mildest of each kind, with the memory it then needs."""
    kinds = [_leaner(demand), _low_rank(demand)]
    if demand.hardware.device == "cuda":
        kinds += [_sharded(demand, cpu_offload=False), _sharded(demand, cpu_offload=True)]
    fitting = [text for kind in kinds if (text := _first_fitting(kind, free))]
    if not fitting:
        return "No setting of train or hardware would fit: choose a smaller model or shorter rows"
    return f"It would fit with {'; or '.join(fitting)}"


def _first_fitting(alternatives: Alternatives, free: FreeMemory) -> str | None:
    for keys, demand in alternatives:
        if free.holds(needed := demand.forecast()):
            return f"{keys} ({size(needed.total)})"
    return None


def _checkpointed(demand: Demand) -> tuple[str, Demand]:
    """The override that turns gradient checkpointing on, empty if it is on, and the training with it."""
    keys = "" if demand.train.gradient_checkpointing else "train.gradient_checkpointing=true "
    return keys, replace(demand, train=replace(demand.train, gradient_checkpointing=True))


def _leaner(demand: Demand) -> Alternatives:
    """The same model on the same hardware, with fewer tokens per forward pass."""
    keys, lean = _checkpointed(demand)
    if keys:
        yield keys.strip(), lean
    load = demand.forecast().load
    tokens = load.tokens * demand.hardware.context_parallel
    while tokens > load.longest:
        tokens = max(tokens // 2, load.longest)
        fewer = replace(lean, train=replace(lean.train, micro_batch_tokens=tokens))
        yield f"{keys}train.micro_batch_tokens={tokens}", fewer


def _low_rank(demand: Demand) -> Alternatives:
    """LoRA with the settings of train=lora."""
    lora = LoraConfig(rank=16, alpha=32, dropout=0.0, targets=LINEAR)
    if demand.train.lora is None:
        _, lean = _checkpointed(demand)
        yield "train=lora", replace(lean, train=replace(lean.train, lora=lora))


def _sharded(demand: Demand, *, cpu_offload: bool) -> Alternatives:
    """FSDP2 over 2, 4, 8, ... GPUs."""
    keys, lean = _checkpointed(demand)
    keys += "hardware=fsdp2 " + "hardware.cpu_offload=true " * cpu_offload
    for power in range(1, MOST_PROCESSES.bit_length()):
        hardware = replace(
            demand.hardware, strategy="fsdp2", processes=2**power, cpu_offload=cpu_offload,
            context_parallel=1, nodes=1, hosts=None,
        )  # fmt: skip
        yield f"{keys}hardware.processes={hardware.processes}", replace(lean, hardware=hardware)


def free_memory(hardware: HardwareConfig) -> FreeMemory:
    """The free memory of this machine; for several GPUs all of it, as their processes don't run yet."""
    host = free_main_memory()
    if hardware.device == "cpu":
        return FreeMemory(device=host // (hardware.processes // hardware.nodes), host=host)
    import torch

    if hardware.processes > 1:
        return FreeMemory(device=torch.cuda.get_device_properties(0).total_memory, host=host)
    unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return FreeMemory(device=torch.cuda.mem_get_info()[0] + unused, host=host)


def free_main_memory() -> int:
    """Bytes of main memory that this process may still use, by the kernel and by its control group."""
    free = [psutil.virtual_memory().available]
    for folder, limit, used, cache in CGROUPS:
        with suppress(OSError, ValueError):  # no such group, or its limit is `max`
            group = CGROUP / folder
            in_use = int((group / used).read_text()) - _entry(group / "memory.stat", cache)
            free.append(int((group / limit).read_text()) - in_use)
    return max(0, min(free))


def _entry(table: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in table.read_text().splitlines() if line.startswith(name))
