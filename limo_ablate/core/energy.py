"""The energy that a trial's GPUs take, by the counter that NVML keeps for each of them."""

from __future__ import annotations

import logging
import os
from importlib import import_module
from typing import Any

from limo_ablate.core.hardware import HardwareConfig

log = logging.getLogger(__name__)
MILLI = 1000


class EnergyMeter:
    """Counts from its making on. Needs the `gpu` extra (nvidia-ml-py) and GPUs that no other trial uses."""

    def __init__(self, hardware: HardwareConfig) -> None:
        self._nvml: Any = None
        self._gpus: list[Any] = []
        if hardware.device != "cuda":
            return
        try:
            self._nvml = import_module("pynvml")
            self._nvml.nvmlInit()
            self._gpus = [self._handle(gpu) for gpu in _visible(hardware)]
            self._before = self._count()
        except Exception as error:  # NVML's errors are its own; energy is a figure beside, not the result
            log.warning("energy is not measured: %s: %s", type(error).__name__, error)
            self._gpus = []

    def joules(self) -> float | None:
        """Of all GPUs on this machine together; null where it can't be measured, as on a CPU."""
        return (self._count() - self._before) / MILLI if self._gpus else None

    def _handle(self, gpu: str) -> Any:
        if gpu.isdigit():
            return self._nvml.nvmlDeviceGetHandleByIndex(int(gpu))
        return self._nvml.nvmlDeviceGetHandleByUUID(gpu)

    def _count(self) -> int:
        """Millijoules since the driver was loaded."""
        return sum(self._nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) for gpu in self._gpus)


def _visible(hardware: HardwareConfig) -> list[str]:
    here = hardware.processes // hardware.nodes
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [gpu.strip() for gpu in chosen.split(",")][:here] if chosen else [str(gpu) for gpu in range(here)]
