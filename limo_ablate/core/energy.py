"""Energy used by a trial's GPUs, from NVML's counter of each GPU."""

from __future__ import annotations

import logging
import os
from importlib import import_module
from typing import Any

from limo_ablate.core.hardware import HardwareConfig

log = logging.getLogger(__name__)


class EnergyMeter:
    """Measures from its creation on. Needs the `gpu` extra (nvidia-ml-py) and GPUs that no other trial
    uses."""

    def __init__(self, hardware: HardwareConfig) -> None:
        self._nvml: Any = None
        self._gpus: list[Any] = []
        if hardware.device != "cuda":
            return
        try:
            self._nvml = import_module("pynvml")
            self._nvml.nvmlInit()
            self._gpus = [self._handle(gpu) for gpu in _visible(hardware)]
            self._start = self._millijoules()
        except Exception as error:  # pynvml has its own exceptions, and a trial must not fail for its energy
            log.warning("energy is not measured: %s: %s", type(error).__name__, error)
            self._gpus = []

    def joules(self) -> float | None:
        """Energy of all GPUs of the trial on this machine; None where it can't be measured, as on a CPU."""
        return (self._millijoules() - self._start) / 1000 if self._gpus else None

    def _handle(self, gpu: str) -> Any:
        if gpu.isdigit():
            return self._nvml.nvmlDeviceGetHandleByIndex(int(gpu))
        return self._nvml.nvmlDeviceGetHandleByUUID(gpu)

    def _millijoules(self) -> int:
        """Energy since the driver was loaded."""
        return sum(self._nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) for gpu in self._gpus)


def _visible(hardware: HardwareConfig) -> list[str]:
    """Indices or UUIDs of the trial's GPUs on this machine."""
    count = hardware.processes // hardware.nodes
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = [gpu.strip() for gpu in visible.split(",")] if visible else [str(gpu) for gpu in range(count)]
    return gpus[:count]
