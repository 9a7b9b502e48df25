"""A study's jobs in Slurm: submitting them, querying them, and the record of them on disk."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import which

from limo_ablate.core.errors import UserError
from limo_ablate.core.files import write_atomically
from limo_ablate.core.reading import read_json
from limo_ablate.sweep.launchers.slurm_script import LOGS, Batch, job_name, parameters

SUBMITTED = "slurm.json"
"""File in the study's folder: the arrays of jobs that were submitted for it, as `Submitted`."""


class SlurmAway(Exception):
    """Slurm's controller does not answer; the message is from its command."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """One call of sbatch."""

    job: str
    """Id of the array; its tasks are ID_0, ID_1, ..."""
    tasks: int
    time: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class SlurmJob:
    """A job that waits or runs."""

    id: str
    """`12_3`."""
    state: str
    """PENDING, RUNNING, COMPLETING, ..."""
    reason: str
    """Why it waits; `None` when it does not."""
    nodes: str


def check_slurm(name: str) -> None:
    """Raises UserError when jobs of this name can't be submitted from here at all."""
    for tool in ("sbatch", "squeue", "srun"):
        if which(tool) is None:
            raise UserError(
                f"launch=slurm: there is no `{tool}` here; run it on a login node of a Slurm cluster, "
                "or use launch=local"
            )
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise UserError("launch=slurm needs submitit: pip install 'limo-ablate[slurm]'") from error
    try:
        live_jobs(name)
    except SlurmAway as error:
        raise UserError(f"launch=slurm: Slurm does not answer here: {error}") from error


def submit(batch: Batch, tasks: int, throttle: int) -> Submitted:
    """Submits an array of `tasks` jobs, of which at most `throttle` run at a time, and records it on disk.

    Raises UserError when Slurm refuses, SlurmAway when it does not answer.
    """
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    batch.logs.mkdir(parents=True, exist_ok=True)
    executor = SlurmExecutor(batch.logs)
    executor.update_parameters(**parameters(batch), array_parallelism=throttle)
    executor.parameters["map_count"] = tasks
    try:
        # its public `submit` runs pickled functions; a command line can be read, and run by hand
        job = executor._submit_command(shlex.join(batch.command))
    except (FailedJobError, FailedSubmissionError) as error:
        raise _refusal(str(error), batch) from error
    submitted = Submitted(job.job_id, tasks, time.time())
    _record(batch.folder, submitted)
    return submitted


def _refusal(output: str, batch: Batch) -> Exception:
    """The error for sbatch's output."""
    complaints = [line.partition("sbatch: ")[2] for line in output.splitlines() if "sbatch: " in line]
    reason = "; ".join(line.removeprefix("error: ") for line in complaints) or " ".join(output.split())
    if "contact slurm controller" in output or "timed out" in output:
        return SlurmAway(reason)
    requested = ", ".join(
        f"{key}={value}" for key, value in asdict(batch.slurm).items() if value not in (None, {})
    )
    return UserError(
        f"Slurm refused the job: {reason}; launch.slurm requests {requested}; `sinfo` lists what there is"
    )


def live_jobs(name: str) -> list[SlurmJob]:
    """This user's jobs of this name that wait or run. Raises SlurmAway."""
    command = ["squeue", "--me", "--noheader", "--array", f"--name={name}", "--format=%i|%T|%r|%N"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SlurmAway(" ".join(done.stderr.split()))
    return [SlurmJob(*line.strip().split("|")) for line in done.stdout.splitlines() if line.strip()]


def read_submitted(folder: Path) -> list[Submitted]:
    try:
        found: list[Submitted] = read_json(folder / SUBMITTED, list[Submitted])
    except FileNotFoundError:
        return []
    return found


def _record(folder: Path, submitted: Submitted) -> None:
    rows = [asdict(row) for row in (*read_submitted(folder), submitted)]
    write_atomically(folder / SUBMITTED, json.dumps(rows, indent=1) + "\n")


def log_of(folder: Path, job: str) -> Path:
    """Log of job `12_3`, with the output of `join`; a trial's own log is in the trial's folder."""
    return folder / LOGS / f"{job}_0_log.out"


def job_lines(folder: Path) -> list[str]:
    """Lines about the study's jobs for `limo-ablate status`; none when it was never submitted to Slurm."""
    submitted = read_submitted(folder)
    if not submitted:
        return []
    try:
        live = live_jobs(job_name(folder))
    except (SlurmAway, OSError) as error:
        return [f"  Slurm does not answer ({error}); logs of the jobs: {folder / LOGS}"]
    running = [
        f"  job {job.id} {job.state} on {job.nodes}  log: {log_of(folder, job.id)}"
        for job in live
        if job.state != "PENDING"
    ]
    return [*running, *_waiting_lines(live)] or [f"  no job runs or waits; logs: {folder / LOGS}"]


def _waiting_lines(live: Sequence[SlurmJob]) -> list[str]:
    """A line for each array and reason, rather than for each of a thousand tasks."""
    waiting: dict[tuple[str, str], int] = {}
    for job in live:
        if job.state == "PENDING":
            key = job.id.partition("_")[0], job.reason
            waiting[key] = waiting.get(key, 0) + 1
    return [f"  job {job} PENDING ({reason}): {count} tasks" for (job, reason), count in waiting.items()]
