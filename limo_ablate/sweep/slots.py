"""How this machine is cut into slots: a slot runs one trial at a time on its own devices."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from limo_ablate.config import HardwareConfig, LaunchConfig
from limo_ablate.errors import UserError


@dataclass(frozen=True, slots=True)
class Slot:
    index: int
    gpus: tuple[str, ...]
    """Device ids as CUDA_VISIBLE_DEVICES takes them; empty on a CPU."""

    def environment(self, hardware: HardwareConfig) -> dict[str, str]:
        return {
            "CUDA_VISIBLE_DEVICES": ",".join(self.gpus),
            "OMP_NUM_THREADS": str(hardware.threads),
            "MKL_NUM_THREADS": str(hardware.threads),
        }


def local_slots(hardware: Sequence[HardwareConfig], launch: LaunchConfig) -> list[Slot]:
    """The slots of this machine for trials on `hardware`, each wide enough for the widest of them.

    Raises UserError when a trial asks for more GPUs than there are.
    """
    if launch.slots is not None and launch.slots < 1:
        raise UserError(f"launch.slots={launch.slots}: at least one slot is needed, or null for all that fit")
    on_gpu = [h for h in hardware if h.device == "cuda"]
    if not on_gpu:
        threads = max(h.processes * h.threads for h in hardware)
        return [Slot(i, ()) for i in range(launch.slots or max(1, cores() // threads))]
    width, gpus = max(h.processes for h in on_gpu), visible_gpus()
    if width > len(gpus):
        name = next(h.name for h in on_gpu if h.processes == width)
        raise UserError(
            f"hardware={name} needs {width} GPUs for a trial, {len(gpus)} are visible; choose other hardware"
        )
    # more slots than fit: they share GPUs, which small models can
    count = launch.slots or len(gpus) // width
    return [Slot(i, tuple(gpus[(i * width + j) % len(gpus)] for j in range(width))) for i in range(count)]


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """The GPUs this process may use, found without loading CUDA, which must not be up before a fork."""
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [device.strip() for device in chosen.split(",") if device.strip()]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(i) for i in range(sum(line.startswith("GPU ") for line in listed.splitlines()))]
