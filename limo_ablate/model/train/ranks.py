"""Runs a training in several processes (ranks), on this machine or on several; they start and end together.

Each rank is `python -m limo_ablate.model.train.worker` in a process group of its own. If one fails, all are
killed at once and its traceback is the trial's failure; if this process dies, the kernel kills them.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from limo_ablate.core.errors import Preempted, TrialFailure, UserError
from limo_ablate.core.python import environment, python
from limo_ablate.model.train.failure import first_failure, has_failure
from limo_ablate.model.train.managed_process import (
    POLL_SECONDS,
    ManagedProcess,
    ProcessSpec,
    any_killed,
    kill,
    process_failure,
    start,
)
from limo_ablate.model.train.nodes import device_variables, free_port, node_commands, node_environment
from limo_ablate.model.train.stop import SCRATCH_DIR, STOP_FILE, deferring_sigterm, stop_requested

if TYPE_CHECKING:
    from limo_ablate.model.train.curve import OnStep
    from limo_ablate.model.train.job import TrainingJob

EXIT_SECONDS = 30.0
"""Time the other ranks get to exit once rank 0 has written everything."""
JOB, STEPS = "job.json", "steps.jsonl"
"""Files in the scratch folder: the `TrainingJob`; rows of the curve, which rank 0 appends."""


def run_ranks(job: TrainingJob, on_step: OnStep | None) -> None:
    """Runs `job` in `job.hardware.processes` ranks; raises the error of the rank that failed."""
    scratch_dir = Path(job.folder) / SCRATCH_DIR
    shutil.rmtree(scratch_dir, ignore_errors=True)
    scratch_dir.mkdir()
    (scratch_dir / JOB).write_text(json.dumps(asdict(job)))
    (scratch_dir / STEPS).touch()
    processes: list[ManagedProcess] = []
    try:
        for spec in (
            _rank_specs(job, scratch_dir) if job.hardware.nodes == 1 else _node_specs(job, scratch_dir)
        ):
            processes.append(start(spec))
        with deferring_sigterm(), (scratch_dir / STEPS).open() as steps:
            _wait(processes, scratch_dir, steps, on_step)
    finally:
        for managed in processes:
            kill(managed)
    shutil.rmtree(scratch_dir)


def _rank_specs(job: TrainingJob, scratch_dir: Path) -> Iterator[ProcessSpec]:
    world = str(job.hardware.processes)
    command = python("-m", "limo_ablate.model.train.worker", str(scratch_dir / JOB), str(os.getpid()))
    for number in range(job.hardware.processes):
        variables = environment(
            RANK=str(number),
            LOCAL_RANK=str(number),
            WORLD_SIZE=world,
            LOCAL_WORLD_SIZE=world,
            OMP_NUM_THREADS=str(job.hardware.threads),
        )
        variables |= device_variables(job.hardware)
        if job.hardware.device == "cpu":
            variables.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the host's name may lead to a wrong address
        yield ProcessSpec(f"rank {number} of {world}", command, variables, scratch_dir / f"rank{number}.log")


def _node_specs(job: TrainingJob, scratch_dir: Path) -> Iterator[ProcessSpec]:
    for number, command in enumerate(node_commands(job.hardware, scratch_dir / JOB, free_port())):
        name, log = f"node {number} of {job.hardware.nodes}", scratch_dir / f"node{number}.log"
        yield ProcessSpec(name, command, dict(os.environ), log, node_environment(job.hardware))


def _wait(processes: list[ManagedProcess], scratch_dir: Path, steps: TextIO, on_step: OnStep | None) -> None:
    """Waits for all processes; forwards rank 0's steps to `on_step`, and a request to stop to all ranks."""
    deadline = float("inf")
    while True:
        states = [managed.process.poll() for managed in processes]
        _forward_steps(steps, on_step)
        if stop_requested(scratch_dir.parent):
            (scratch_dir / STOP_FILE).touch()
        if any(states) or has_failure(scratch_dir):
            raise _failure(processes, scratch_dir)
        if all(state == 0 for state in states) or time.monotonic() > deadline:
            return
        if states[0] == 0:
            deadline = min(deadline, time.monotonic() + EXIT_SECONDS)
        time.sleep(POLL_SECONDS)


def _forward_steps(steps: TextIO, on_step: OnStep | None) -> None:
    while True:
        place, line = steps.tell(), steps.readline()
        if not line.endswith("\n"):
            steps.seek(place)  # rank 0 is still writing the line
            return
        if on_step:
            on_step(json.loads(line))


def _failure(processes: list[ManagedProcess], scratch_dir: Path) -> TrialFailure | UserError:
    """The error that caused all others.

    An expected error of a rank comes first, then a rank that was killed, then the first traceback: the other
    ranks raise tracebacks because they lose the connection.
    """
    failure = first_failure(scratch_dir)
    if stop_requested(scratch_dir.parent) and not (failure and failure.expected):
        return Preempted("asked to end before a step was done")
    if failure and (failure.expected or not any_killed(processes)):
        return failure.error(scratch_dir)
    return process_failure(processes)
