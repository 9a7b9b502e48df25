"""The GPUs, or CPU cores, of this machine that each trial gets: as many as its hardware configuration needs.

Trials of different widths run side by side. A narrow trial may start before a wide one that does not fit yet,
but only `PASSES` times, so that the wide one gets its turn.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig, available_cores, check_gpus, visible_gpus
from limo_ablate.trial.launch_config import LaunchConfig

PASSES = 8
"""How many trials may start before an earlier one that does not fit yet."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The devices of one running trial."""

    index: int
    """The lowest number that was free; slots of a machine are numbered from 0."""
    gpus: tuple[str, ...] = ()
    """Device ids as CUDA_VISIBLE_DEVICES takes them; empty on a CPU."""
    cores: int = 0
    """Number of CPU cores; 0 on a GPU."""

    @property
    def devices(self) -> int:
        """Number of GPUs; on a CPU, number of cores."""
        return len(self.gpus) or self.cores

    def environment(self, hardware: HardwareConfig) -> dict[str, str]:
        return {
            "CUDA_VISIBLE_DEVICES": ",".join(self.gpus),
            "OMP_NUM_THREADS": str(hardware.threads),
            "MKL_NUM_THREADS": str(hardware.threads),
        }


@dataclass
class Slots:
    """Which slots are in use, and which trial gets the next one."""

    launch: LaunchConfig
    slots: dict[int, Slot] = field(default_factory=dict, init=False)
    """Index -> slot in use."""
    _passed: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        if self.launch.slots is not None and self.launch.slots < 1:
            raise UserError(
                f"launch.slots={self.launch.slots}: at least one slot is needed, or null for all that fit"
            )

    def fits(self, hardware: HardwareConfig) -> bool:
        """Whether a trial on `hardware` can be started now."""
        return not self.launch.slots or len(self.slots) < self.launch.slots

    def choose(self, waiting: Sequence[tuple[str, HardwareConfig]]) -> int | None:
        """Index of the first of `waiting`, (key, hardware), that fits now.

        None when none does, or when the first one has been passed too often already.
        """
        for index, (_, hardware) in enumerate(waiting):
            if self.fits(hardware):
                if index:
                    self._passed[waiting[0][0]] += 1
                return index
            if self._passed[waiting[0][0]] >= PASSES:
                return None
        return None

    def use(self, *, gpus: tuple[str, ...] = (), cores: int = 0) -> Slot:
        """The lowest slot that is free, with these devices."""
        index = next(i for i in range(len(self.slots) + 1) if i not in self.slots)
        self.slots[index] = Slot(index, gpus, cores)
        return self.slots[index]

    def release(self, slot: Slot) -> None:
        """Frees the devices of a trial that has ended."""
        del self.slots[slot.index]


@dataclass
class Devices(Slots):
    """The devices of this machine, and which slots use them."""

    gpus: Sequence[str] = field(default_factory=lambda: visible_gpus())
    cores: int = field(default_factory=lambda: available_cores())
    _widest: int = field(default=1, init=False)

    def check(self, hardware: Iterable[HardwareConfig]) -> None:
        """Raises UserError when a trial on one of `hardware` needs more GPUs than there are."""
        for one in {h for h in hardware if h.device == "cuda"}:
            self._widest = max(self._widest, width(one))
            check_gpus(one, len(self.gpus))

    def side_by_side(self, hardware: HardwareConfig) -> int:
        """How many trials on `hardware` run at the same time."""
        if self.launch.slots:
            return self.launch.slots
        return max(1, (len(self.gpus) if hardware.device == "cuda" else self.cores) // width(hardware))

    def acquire(self, hardware: HardwareConfig) -> Slot:
        """A slot for a trial on `hardware`, which must fit; on GPUs, the least used ones."""
        if hardware.device != "cuda":
            return self.use(cores=width(hardware))
        free = sorted(self.gpus, key=lambda gpu: (self._load()[gpu], self.gpus.index(gpu)))
        return self.use(gpus=tuple(sorted(free[: width(hardware)], key=self.gpus.index)))

    def fits(self, hardware: HardwareConfig) -> bool:
        if not super().fits(hardware):
            return False
        if hardware.device == "cuda":
            free = sum(self._load()[gpu] < self._trials_per_gpu() for gpu in self.gpus)
            return free >= width(hardware)
        used = sum(slot.cores for slot in self.slots.values())
        return bool(self.launch.slots) or used == 0 or used + width(hardware) <= self.cores

    def _trials_per_gpu(self) -> int:
        """More than one where `launch.slots` is more than fit, which small models allow."""
        return math.ceil((self.launch.slots or 1) * self._widest / max(1, len(self.gpus)))

    def _load(self) -> Counter[str]:
        """GPU -> trials on it."""
        return Counter(gpu for slot in self.slots.values() for gpu in slot.gpus)


def width(hardware: HardwareConfig) -> int:
    """Devices of this machine that a trial needs: a GPU for each process, or a core for each thread."""
    here = hardware.processes // hardware.nodes
    return here if hardware.device == "cuda" else here * hardware.threads
