"""How a study's trials are launched: the registry of launchers, and the schema of `launch`."""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from limo_ablate.core.errors import UserError
from limo_ablate.core.registry import Entry, Registry

LAUNCHERS: Registry[Any] = Registry(
    "launcher",
    {
        "local": Entry("limo_ablate.sweep.launchers.local:LocalLauncher", "this machine"),
        "slurm": Entry("limo_ablate.sweep.launchers.slurm:SlurmLauncher", "jobs of a Slurm cluster"),
        "ray": Entry(
            "limo_ablate.sweep.launchers.ray.launcher:RayLauncher", "tasks on the nodes of a Ray cluster"
        ),
    },
    group="limo_ablate.launchers",
)
"""What starts a study's trials; each is a `limo_ablate.sweep.launchers.launcher.Launcher`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmConfig:
    """Options of a study's Slurm jobs; see docs/slurm.md."""

    jobs: Literal["trial", "worker"]
    """A job for each trial, or long-lived workers that run one trial after the other."""
    workers: int
    """Number of jobs at a time: the limit of an array of trials, or the number of workers."""
    partition: str | None
    """Partition of each job."""
    time_minutes: int
    """Time limit of a job, in minutes."""
    gpus_per_node: int | None
    """null: as many as a trial needs; must be set for workers, which use all their GPUs."""
    cpus_per_task: int | None
    """null: as many as a trial needs; for a worker the whole machine."""
    memory_gb: int | None
    """null: the cluster's default; for a worker with a machine of its own all of its memory."""
    extra: dict[str, Any]
    """Further options of sbatch: {account: lab, constraint: h100}."""

    def __post_init__(self) -> None:
        for key in ("workers", "time_minutes", "cpus_per_task", "memory_gb"):
            if (value := getattr(self, key)) is not None and value < 1:
                raise UserError(f"launch.slurm.{key}={value} must be at least 1")
        if self.gpus_per_node is not None and self.gpus_per_node < 0:
            raise UserError(f"launch.slurm.gpus_per_node={self.gpus_per_node} must be at least 0")
        for key, value in {"partition": self.partition, **self.extra}.items():
            # each becomes a line of the job's script
            if not (re.fullmatch(r"[a-z][a-z0-9_-]*", key) and str(value).isprintable()):
                where = "" if key == "partition" else "extra."
                raise UserError(
                    f"launch.slurm.{where}{key}={value!r}: an option of sbatch is a name in small "
                    "letters, with a value on one line"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class RayConfig:
    """Options of a study's trials on a Ray cluster; see docs/ray.md."""

    address: str
    """The cluster's: `auto` on one of its nodes, else `HOST:6379`."""
    folder: str | None
    """The directory in which trials run on each node, which may be of its own: `~` and `$VARIABLES` are the
    node's; null: the path that `sweep` runs in."""
    cpus: int | None
    """CPUs of a trial; null: a core for each thread of each of its processes."""
    memory_gb: int | None
    """Memory of a trial, as Ray counts it; null: not counted."""
    resources: dict[str, float]
    """Further resources of a trial by Ray's names: {H100: 1}."""

    def __post_init__(self) -> None:
        if self.address.startswith("ray://"):
            raise UserError(
                f"launch.ray.address={self.address}: Ray's client is not supported; run the sweep on a node "
                "of the cluster, with launch.ray.address=auto"
            )
        for key in ("cpus", "memory_gb"):
            if (value := getattr(self, key)) is not None and value < 1:
                raise UserError(f"launch.ray.{key}={value} must be at least 1")
        for name, value in self.resources.items():
            if not 0 < value < math.inf or name in ("CPU", "GPU", "memory"):
                raise UserError(
                    f"launch.ray.resources: {name}={value:g}: must be a finite number above 0 of a "
                    "resource other than CPU, GPU and memory"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchConfig:
    """How a sweep uses this machine, or a cluster."""

    executor: Annotated[str, LAUNCHERS]
    """What starts trials."""
    slots: int | None
    """Number of trials that run at the same time; null: as many as the cores (or GPUs) allow."""
    attempts: int
    """Number of failures after which a trial is given up; a larger number retries it."""
    backoff_seconds: float
    """Wait before a failed trial's second attempt; doubled before each further one."""
    hang_seconds: float | None
    """A trial without progress or log output for this long is killed and retried; null: never."""
    grace_seconds: float
    """Time between SIGTERM and SIGKILL, in which a trial can write a checkpoint."""
    max_same_failures: int | None = None
    """Number of trials that may fail for the same reason; then no more are started. null: any number."""
    notify: str | tuple[str, ...] | None = None
    """A command (text, or a list of words; run without a shell) or an http(s) address that is told when a
    sweep starts, when trials first fail for a reason, and when it ends; null: nothing."""
    slurm: SlurmConfig | None = None
    ray: RayConfig | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """Settings of a launcher that another package adds, which reads them."""

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.backoff_seconds < 0 or self.grace_seconds < 0:
            raise UserError(
                f"launch: attempts={self.attempts} must be at least 1, "
                f"backoff_seconds={self.backoff_seconds:g}, grace_seconds={self.grace_seconds:g} at least 0"
            )
        if self.hang_seconds is not None and self.hang_seconds <= 0:
            raise UserError(f"launch.hang_seconds={self.hang_seconds:g} must be positive, or null")
        if self.max_same_failures is not None and self.max_same_failures < 1:
            raise UserError(f"launch.max_same_failures={self.max_same_failures} must be at least 1, or null")
        self._check_notify()
        if self.options and self.executor in LAUNCHERS.builtin:
            raise UserError(f"launch.options={self.options}: launch.executor={self.executor} has no options")
        for name in LAUNCHERS.builtin:  # the options of a launcher of ours are the key with its name
            if hasattr(self, name) and (self.executor == name) != (getattr(self, name) is not None):
                raise UserError(
                    f"launch.executor={self.executor}: launch.{name} is required for {name}, else not allowed"
                )

    def _check_notify(self) -> None:
        try:
            words = shlex.split(self.notify) if isinstance(self.notify, str) else self.notify
        except ValueError as error:
            raise UserError(f"launch.notify={self.notify}: {error}; quote it as in a shell") from error
        if words is not None and not words:
            raise UserError("launch.notify is empty: a command, an http(s) address, or null")
