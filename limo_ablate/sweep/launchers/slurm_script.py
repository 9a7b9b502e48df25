"""What each job of a study requests from Slurm, and its script.

Each job runs `limo-ablate join FOLDER`, one more runner of the study, started by srun on the first machine of
its allocation. Slurm sends SIGTERM when it preempts the job, and is configured to send it ahead of the time
limit; the runner then lets its trials write checkpoints, gives them back and exits with 130, and the script
requeues the job. submitit writes the script (its source: `submitit.slurm.slurm`).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limo_ablate.core.errors import EXIT_INTERRUPTED, UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.project import project_words
from limo_ablate.core.python import python
from limo_ablate.trial.launch_config import LaunchConfig, SlurmConfig

LOGS = "slurm"
"""Folder in the study's folder: scripts and logs of the jobs."""
MARGIN_SECONDS = 30
"""Seconds added to `launch.grace_seconds` between the signal and the time limit: to give trials back and to
requeue the job."""
SRUN = ("--nodes=1", "--ntasks=1", "--overlap", "--cpu-bind=none")
"""The runner may use all of its first machine, and start processes on others
(`limo_ablate.model.train.nodes`)."""
REQUEUE = f"""\
code=$?
job=${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID  # SLURM_JOB_ID of one of the tasks means all of them
state=$(squeue --noheader --jobs=$job --format=%T)
# interrupted (143: before it could react) by a signal, not by the end of the job: wait for resources again
case $code-$state in {EXIT_INTERRUPTED}-RUNNING|143-RUNNING) exec scontrol requeue $job;; esac
exit $code"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What all jobs of a study have in common."""

    folder: Path
    """The study's folder, absolute."""
    launch: LaunchConfig
    hardware: tuple[HardwareConfig, ...]
    """The distinct hardware configurations of its trials."""
    command: tuple[str, ...]
    """Command line of a job: `limo-ablate join FOLDER`."""

    @property
    def slurm(self) -> SlurmConfig:
        assert self.launch.slurm is not None
        return self.launch.slurm

    @property
    def name(self) -> str:
        return job_name(self.folder)

    @property
    def logs(self) -> Path:
        return self.folder / LOGS


def job_name(folder: Path) -> str:
    """Name of the folder's jobs, by which they are found in Slurm itself."""
    folder = folder.resolve()
    return f"limo-{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:6]}"


def join_command(folder: Path, slurm: SlurmConfig) -> tuple[str, ...]:
    one = ("--trials", "1") if slurm.jobs == "trial" else ()
    return (*python("-m", "limo_ablate"), *project_words(), "join", str(folder), *one)


def parameters(batch: Batch) -> dict[str, Any]:
    """Parameters for submitit. Raises UserError for settings that no job could run with."""
    slurm = batch.slurm
    cpus = slurm.cpus_per_task
    if cpus is None and slurm.jobs == "trial":
        cpus = max(_ranks(h) * h.threads for h in batch.hardware)
    return {
        "job_name": batch.name,
        "partition": slurm.partition,
        "time": slurm.time_minutes,
        "nodes": max(h.nodes for h in batch.hardware),
        "ntasks_per_node": 1,
        "cpus_per_task": cpus,
        "gpus_per_node": _gpus(batch) or None,
        "wckey": None,  # submitit would request one named after itself
        "stderr_to_stdout": True,
        "srun_args": list(SRUN),
        "teardown": REQUEUE.splitlines(),
        "additional_parameters": _options(batch, whole_machine=cpus is None),
    }


def _options(batch: Batch, *, whole_machine: bool) -> dict[str, Any]:
    """Options of sbatch that submitit lacks, and the user's own, which take precedence; false omits one."""
    gigabytes = batch.slurm.memory_gb
    options: dict[str, Any] = {
        "requeue": True,
        "signal": f"TERM@{math.ceil(batch.launch.grace_seconds) + MARGIN_SECONDS}",
        "exclusive": whole_machine,
        "mem": f"{gigabytes}G" if gigabytes else "0" if whole_machine else None,
    }
    return {key: value for key, value in (options | batch.slurm.extra).items() if value not in (None, False)}


def _ranks(hardware: HardwareConfig) -> int:
    """Number of ranks on each machine."""
    return hardware.processes // hardware.nodes


def _gpus(batch: Batch) -> int:
    """Number of GPUs on each machine of a job."""
    wanting = max(batch.hardware, key=lambda h: (h.device == "cuda") * _ranks(h))
    needed = _ranks(wanting) if wanting.device == "cuda" else 0
    requested, where = batch.slurm.gpus_per_node, "launch.slurm.gpus_per_node"
    if requested is None and needed and batch.slurm.jobs == "worker":
        raise UserError(f"{where}: set the number of GPUs of a machine; a worker uses them all")
    if requested is not None and requested < needed:
        raise UserError(
            f"{where}={requested}: hardware={wanting.name} needs {needed} GPUs of a machine for a trial"
        )
    return needed if requested is None else requested
