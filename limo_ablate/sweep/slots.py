"""What a trial gets of this machine: as many GPUs, or CPU cores, as its own hardware configuration needs.

Trials of different widths run side by side. One that fits may start before a wider one that waits for room,
but only so many of them, so that the wide one gets its turn.
"""

from __future__ import annotations

import math
import os
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.trial.config import LaunchConfig

PASSES = 8
"""Trials that may start before one that came first and does not fit yet."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What one trial has while it runs."""

    index: int
    """The lowest number that was free: slots of a machine are numbered from 0."""
    gpus: tuple[str, ...] = ()
    """Device ids as CUDA_VISIBLE_DEVICES takes them; empty on a CPU."""
    cores: int = 0
    """Of a CPU trial."""

    @property
    def devices(self) -> int:
        """GPUs, or on a CPU cores."""
        return len(self.gpus) or self.cores

    def environment(self, hardware: HardwareConfig) -> dict[str, str]:
        return {
            "CUDA_VISIBLE_DEVICES": ",".join(self.gpus),
            "OMP_NUM_THREADS": str(hardware.threads),
            "MKL_NUM_THREADS": str(hardware.threads),
        }


@dataclass
class Devices:
    """The devices of this machine, and who has them."""

    launch: LaunchConfig
    gpus: Sequence[str] = field(default_factory=lambda: visible_gpus())
    cores: int = field(default_factory=lambda: cores())
    taken: dict[int, Slot] = field(default_factory=dict, init=False)
    _passed: Counter[str] = field(default_factory=Counter, init=False)
    _widest: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        if self.launch.slots is not None and self.launch.slots < 1:
            raise UserError(
                f"launch.slots={self.launch.slots}: at least one slot is needed, or null for all that fit"
            )

    def check(self, hardware: Iterable[HardwareConfig]) -> None:
        """Raises UserError when a trial on one of `hardware` asks for more GPUs than there are."""
        for one in {h for h in hardware if h.device == "cuda"}:
            self._widest = max(self._widest, width(one))
            if width(one) > len(self.gpus):
                raise UserError(
                    f"hardware={one.name} needs {width(one)} GPUs for a trial, {len(self.gpus)} are visible; "
                    "choose other hardware"
                )

    def side_by_side(self, hardware: HardwareConfig) -> int:
        """How many trials on `hardware` run at the same time."""
        if self.launch.slots:
            return self.launch.slots
        return max(1, (len(self.gpus) if hardware.device == "cuda" else self.cores) // width(hardware))

    def choose(self, waiting: Sequence[tuple[str, HardwareConfig]]) -> int | None:
        """Place of the first of `waiting`, (key, hardware), that fits now.

        None when none does, or when the very first has been passed too often already.
        """
        for place, (_, hardware) in enumerate(waiting):
            if self._fits(hardware):
                if place:
                    self._passed[waiting[0][0]] += 1
                return place
            if self._passed[waiting[0][0]] >= PASSES:
                return None
        return None

    def take(self, hardware: HardwareConfig) -> Slot:
        """The devices for a trial on `hardware`, which must fit; the least used ones."""
        index = next(i for i in range(len(self.taken) + 1) if i not in self.taken)
        if hardware.device == "cuda":
            free = sorted(self.gpus, key=lambda gpu: (self._load()[gpu], self.gpus.index(gpu)))
            chosen = sorted(free[: width(hardware)], key=self.gpus.index)
            self.taken[index] = Slot(index, gpus=tuple(chosen))
        else:
            self.taken[index] = Slot(index, cores=width(hardware))
        return self.taken[index]

    def give(self, slot: Slot) -> None:
        """The trial has ended."""
        del self.taken[slot.index]

    def _fits(self, hardware: HardwareConfig) -> bool:
        if self.launch.slots and len(self.taken) >= self.launch.slots:
            return False
        if hardware.device == "cuda":
            free = sum(self._load()[gpu] < self._share() for gpu in self.gpus)
            return free >= width(hardware)
        used = sum(slot.cores for slot in self.taken.values())
        return bool(self.launch.slots) or used == 0 or used + width(hardware) <= self.cores

    def _share(self) -> int:
        """Trials on one GPU: more slots than fit share them, which small models can."""
        return math.ceil((self.launch.slots or 1) * self._widest / max(1, len(self.gpus)))

    def _load(self) -> Counter[str]:
        return Counter(gpu for slot in self.taken.values() for gpu in slot.gpus)


def width(hardware: HardwareConfig) -> int:
    """Devices of this machine that a trial takes: a GPU for each process, or a core for each thread."""
    here = hardware.processes // hardware.nodes
    return here if hardware.device == "cuda" else here * hardware.threads


def cores() -> int:
    """Of this machine, or of it what Slurm gave to this job: without task affinity a job sees all."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(here, int(os.environ.get("SLURM_CPUS_ON_NODE", here)))


def visible_gpus() -> list[str]:
    """The GPUs this process may use, found without loading CUDA, which must not be up before a fork."""
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [device.strip() for device in chosen.split(",") if device.strip()]
    if "SLURM_JOB_ID" in os.environ:
        return []  # the job was given none, whatever nvidia-smi lists
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(i) for i in range(sum(line.startswith("GPU ") for line in listed.splitlines()))]
