"""The engine of a configuration, ready to generate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.generate.config import ENGINES, EngineConfig
from limo_ablate.model.generate.engine import Engine


def check_engine(settings: EngineConfig, hardware: HardwareConfig) -> None:
    """Raises UserError when what `open_engine` will need is not there; loads no model."""
    here = hardware.processes // hardware.nodes
    if here % settings.tensor_parallel:
        raise UserError(
            f"tensor_parallel={settings.tensor_parallel} does not divide the {here} processes that "
            f"hardware={hardware.name} has on a machine"
        )
    ENGINES.load(settings.engine).check(settings, hardware)
    _check_devices(hardware, here)


def open_engine(path: str, settings: EngineConfig, hardware: HardwareConfig, desk: Path) -> Engine:
    """An engine for the model in `path`, with as many copies of it as the trial's hardware holds.

    On several machines the copies are on the first one. `desk` is a folder for copies in processes of their
    own. Raises UserError when the hardware is not there.
    """
    check_engine(settings, hardware)
    copies = hardware.processes // hardware.nodes // settings.tensor_parallel
    if copies > 1 or ENGINES.load(settings.engine).own_process:
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
    return ENGINES.load(settings.engine).load(path, settings, hardware)


def _check_devices(hardware: HardwareConfig, here: int) -> None:
    import torch

    if hardware.device == "cuda" and torch.cuda.device_count() < here:
        raise UserError(
            f"hardware={hardware.name} wants {here} GPU(s), {torch.cuda.device_count()} can be seen here; "
            "use hardware=cpu or fewer hardware.processes"
        )
