"""Opens the engine of a configuration: one copy of the model in this process, or several in their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.generate.config import ENGINES, EngineConfig
from limo_ablate.model.generate.engine import Engine
from limo_ablate.model.generate.engines import load_engine
from limo_ablate.model.generate.other_python import versions
from limo_ablate.model.generate.replicas import Replicas
from limo_ablate.model.train.oom import release_memory


def check_engine(settings: EngineConfig, hardware: HardwareConfig) -> None:
    """Raises UserError if anything that `open_engine` needs is missing; loads no model."""
    check_settings(settings, hardware)
    if settings.python:
        versions(settings.python)
    ENGINES.load(settings.engine).check(settings, hardware)
    _check_devices(hardware, hardware.processes // hardware.nodes)


def check_settings(settings: EngineConfig, hardware: HardwareConfig) -> None:
    """Raises UserError if the processes of `hardware` can't be divided among the copies of a model."""
    here = hardware.processes // hardware.nodes
    if here % settings.tensor_parallel:
        raise UserError(
            f"tensor_parallel={settings.tensor_parallel} does not divide the {here} processes that "
            f"hardware={hardware.name} has on a machine"
        )


def open_engine(path: str, settings: EngineConfig, hardware: HardwareConfig, scratch_dir: Path) -> Engine:
    """An engine for the model in `path`, with as many copies of it as fit the trial's hardware.

    On several machines all copies are on the first one. Several copies run in processes of their own, which
    exchange files in `scratch_dir`. Raises UserError if the hardware is missing.
    """
    check_engine(settings, hardware)
    copies = hardware.processes // hardware.nodes // settings.tensor_parallel
    if copies > 1 or settings.python or ENGINES.load(settings.engine).own_process:
        return Replicas(path, settings, hardware, copies, scratch_dir)
    return load_engine(path, settings, hardware)


Opener = Callable[[str, EngineConfig, HardwareConfig, Path], Engine]
"""`open_engine`, or a function that replaces it."""


def open_once() -> Opener:
    """`open_engine` for calls that all need the same engine: the first call loads it, the others reuse it.

    Only when memory ran out do later calls come with other settings, a smaller batch.
    """
    engines: dict[EngineConfig, Engine] = {}

    def opener(path: str, settings: EngineConfig, hardware: HardwareConfig, scratch_dir: Path) -> Engine:
        reduced = settings.with_batch_size(settings.batch_size)
        if reduced not in engines:
            engines.clear()
            release_memory()
            engines[reduced] = open_engine(path, reduced, hardware, scratch_dir)
        return engines[reduced]

    return opener


def _check_devices(hardware: HardwareConfig, here: int) -> None:
    import torch

    if hardware.device == "cuda" and torch.cuda.device_count() < here:
        raise UserError(
            f"hardware={hardware.name} needs {here} GPU(s), {torch.cuda.device_count()} are visible here; "
            "use hardware=cpu or fewer hardware.processes"
        )
