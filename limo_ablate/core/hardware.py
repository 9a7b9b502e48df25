"""The hardware that one trial runs on, as configured, and what this machine has of it."""

from __future__ import annotations

import math
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from limo_ablate.core.artifacts import NOT_IN_KEY
from limo_ablate.core.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareConfig:
    """Hardware of one trial."""

    name: str = field(metadata=NOT_IN_KEY)
    """Name in tables."""
    device: Literal["cpu", "cuda"]
    """What trials run on."""
    processes: int
    """Ranks of the trial, over all nodes; with device=cuda also its number of GPUs."""
    strategy: Literal["single", "ddp", "fsdp2", "zero3"]
    """How a training is spread."""
    precision: Literal["no", "bf16"]
    """Type of the forward and backward passes."""
    threads: int
    """CPU threads of each process; they affect results (the rounding of sums) on a CPU only."""
    cpu_offload: bool = False
    """Keep weights, gradients and optimiser states in CPU memory (fsdp2 and zero3): slower, less GPU
    memory."""
    context_parallel: int = 1
    """Processes that share each row, for rows that are too long for one."""
    nodes: int = field(default=1, metadata=NOT_IN_KEY)
    """Machines of the trial; `processes` counts the ranks of all."""
    hosts: tuple[str, ...] | None = field(default=None, metadata=NOT_IN_KEY)
    """Names of the machines, the one the trial starts on first; null: those of the Slurm allocation."""
    remote: str | None = field(default=None, metadata=NOT_IN_KEY)
    """Command that runs a shell command line, its last argument, on a host, e.g. `ssh {host}`; null: Slurm's
    srun."""
    price: float | None = field(default=None, metadata=NOT_IN_KEY)
    """What a device (a GPU, or with device=cpu a core) costs for an hour, in any one currency; null:
    unknown."""

    @property
    def threads_in_key(self) -> int | None:
        """`threads` if they affect results, else None."""
        return self.threads if self.device == "cpu" else None

    def __post_init__(self) -> None:
        if self.processes < 1 or self.threads < 1:
            raise UserError(
                f"hardware.processes={self.processes} and hardware.threads={self.threads} must be at least 1"
            )
        if (self.processes == 1) != (self.strategy == "single"):
            raise UserError(
                f"hardware.strategy={self.strategy} does not fit hardware.processes={self.processes}: "
                "one process is `single`, several are `ddp`, `fsdp2` or `zero3`"
            )
        if self.cpu_offload and self.strategy not in ("fsdp2", "zero3"):
            raise UserError(f"hardware.cpu_offload=true needs strategy fsdp2 or zero3, not {self.strategy}")
        for key in ("context_parallel", "nodes"):
            parts = getattr(self, key)
            if parts < 1 or self.processes % parts:
                raise UserError(f"hardware.{key}={parts} must divide hardware.processes={self.processes}")
        if self.price is not None and not (math.isfinite(self.price) and self.price >= 0):
            raise UserError(f"hardware.price={self.price:g}: must be a number of at least 0, or null")
        if self.hosts is not None and len(self.hosts) != self.nodes:
            raise UserError(
                f"hardware.hosts names {len(self.hosts)} machines, but hardware.nodes={self.nodes}"
            )
        for host in self.hosts or ():
            if not re.fullmatch(r"[\w.:][\w.:-]*", host):  # it becomes a word of a command line
                raise UserError(f"hardware.hosts: {host!r} is no name or address of a machine")
        if self.hosts is not None and self.remote is None:
            raise UserError("hardware.hosts needs hardware.remote, the command to reach them: 'ssh {host}'")
        if self.context_parallel > 1 and self.strategy == "zero3":
            raise UserError("hardware.context_parallel needs strategy ddp or fsdp2, not zero3")


def device_count(hardware: HardwareConfig) -> int:
    """Number of GPUs that a trial uses on all its machines; on CPUs, number of cores."""
    return hardware.processes * (1 if hardware.device == "cuda" else hardware.threads)


def available_cores() -> int:
    """Number of cores that this process may use; in a Slurm job, no more than the job was given."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # without task affinity, a job sees all cores of the machine
    return min(here, int(os.environ.get("SLURM_CPUS_ON_NODE", here)))


def lacks_bf16() -> bool:
    """Whether this machine's processor is an x86 without AVX-512: PyTorch then multiplies bf16 matrices 4 to
    38 times more slowly than float32 ones. False where it can't be known."""
    try:
        flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line[:5] == "flags")
    except (OSError, StopIteration):
        return False
    return "avx512bw" not in flags.split()


def check_gpus(hardware: HardwareConfig, visible: int | None = None) -> None:
    """Raises UserError where a trial needs more GPUs of this machine than are `visible`; None: to this
    process."""
    needed = hardware.processes // hardware.nodes if hardware.device == "cuda" else 0
    visible = len(visible_gpus()) if needed and visible is None else visible
    if needed > (visible or 0):
        raise UserError(
            f"hardware={hardware.name} needs {needed} GPU{'s' if needed > 1 else ''} for a trial, {visible} "
            "are visible; choose other hardware (`cpu` needs none)"
        )


def visible_gpus() -> list[str]:
    """Ids of the GPUs that this process may use, found without CUDA, which must not start before a fork."""
    if (chosen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [device.strip() for device in chosen.split(",") if device.strip()]
    if "SLURM_JOB_ID" in os.environ:
        return []  # the job was given none, whatever nvidia-smi lists
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(i) for i in range(sum(line.startswith("GPU ") for line in listed.splitlines()))]


def gpu_memories() -> list[float]:
    """Memory of each of this machine's GPUs in bytes, found without CUDA."""
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [float(line) * 2**20 for line in listed.split() if line.isdigit()]
