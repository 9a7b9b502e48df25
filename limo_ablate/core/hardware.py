"""What one trial runs on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from limo_ablate.core.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareConfig:
    """What one trial runs on."""

    name: str
    device: Literal["cpu", "cuda"]
    processes: int
    """Ranks of one trial; on a GPU machine also its number of GPUs."""
    strategy: Literal["single", "ddp", "fsdp2", "zero3"]
    precision: Literal["no", "bf16"]
    threads: int
    """CPU threads of each process."""
    cpu_offload: bool = False
    """Weights, gradients and optimiser states wait in the CPU's memory (fsdp2 and zero3): slower, smaller."""
    context_parallel: int = 1
    """Processes that share each row, for rows too long for one."""
    nodes: int = 1
    """Machines of one trial; `processes` counts the ranks of all."""
    hosts: tuple[str, ...] | None = None
    """Their names, the one the trial starts on first; null: those of the Slurm allocation."""
    remote: str | None = None
    """What runs a shell command line, its last argument, on a host, e.g. `ssh {host}`; null: Slurm's srun."""

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
            raise UserError(f"hardware.cpu_offload goes with fsdp2 and zero3, not with {self.strategy}")
        for key in ("context_parallel", "nodes"):
            parts = getattr(self, key)
            if parts < 1 or self.processes % parts:
                raise UserError(f"hardware.{key}={parts} must divide hardware.processes={self.processes}")
        if self.hosts is not None and len(self.hosts) != self.nodes:
            raise UserError(f"hardware.hosts names {len(self.hosts)} machines, hardware.nodes={self.nodes}")
        if self.hosts is not None and self.remote is None:
            raise UserError("hardware.hosts needs hardware.remote, how to reach them, e.g. 'ssh {host}'")
        if self.context_parallel > 1 and self.strategy == "zero3":
            raise UserError("hardware.context_parallel goes with ddp and fsdp2, not with zero3")


def devices(hardware: HardwareConfig) -> int:
    """GPUs that a trial takes, on all machines; on a CPU its cores."""
    return hardware.processes * (1 if hardware.device == "cuda" else hardware.threads)
