"""A training in several processes, of this machine or of several: started together, ended together.

Each rank is `python -m limo_ablate.model.train.worker`, in a process group of its own. When one dies, all are
killed at once and its traceback is the trial's failure; when this process dies, the kernel kills them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from limo_ablate.core.errors import Preempted, TrialFailure, UserError
from limo_ablate.model.train.failure import has_failure, told_failure
from limo_ablate.model.train.managed_process import POLL_SECONDS, Order, Part, end, failure, killed, start
from limo_ablate.model.train.nodes import free_port, node_commands
from limo_ablate.model.train.stop import DESK, STOP, asked, listening

if TYPE_CHECKING:
    from limo_ablate.model.train.curve import OnStep
    from limo_ablate.model.train.loop import Job

LINGER_SECONDS = 30.0
"""What the other ranks get to leave once rank 0 has written everything."""
JOB, STEPS = "job.json", "steps.jsonl"


def run_ranks(job: Job, on_step: OnStep | None) -> None:
    """Runs `job` in `job.hardware.processes` ranks; raises what one that fails raised."""
    desk = Path(job.folder) / DESK
    shutil.rmtree(desk, ignore_errors=True)
    desk.mkdir()
    (desk / JOB).write_text(json.dumps(asdict(job)))
    (desk / STEPS).touch()
    parts: list[Part] = []
    try:
        for order in _ranks(job, desk) if job.hardware.nodes == 1 else _nodes(job, desk):
            parts.append(start(order))
        with listening(), (desk / STEPS).open() as steps:
            _wait(parts, desk, steps, on_step)
    finally:
        for part in parts:
            end(part)
    shutil.rmtree(desk)


def _ranks(job: Job, desk: Path) -> Iterator[Order]:
    world = str(job.hardware.processes)
    command = [sys.executable, "-m", "limo_ablate.model.train.worker", str(desk / JOB), str(os.getpid())]
    for number in range(job.hardware.processes):
        environment = os.environ | {
            "RANK": str(number),
            "LOCAL_RANK": str(number),
            "WORLD_SIZE": world,
            "LOCAL_WORLD_SIZE": world,
            "OMP_NUM_THREADS": str(job.hardware.threads),
        }
        if job.hardware.device == "cpu":
            environment["ACCELERATE_USE_CPU"] = "true"
            environment.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the host's name may lead to a wrong address
        yield Order(f"rank {number} of {world}", command, environment, desk / f"rank{number}.log")


def _nodes(job: Job, desk: Path) -> Iterator[Order]:
    for number, command in enumerate(node_commands(job.hardware, desk / JOB, free_port())):
        name, log = f"node {number} of {job.hardware.nodes}", desk / f"node{number}.log"
        yield Order(name, command, dict(os.environ), log)


def _wait(parts: list[Part], desk: Path, steps: TextIO, on_step: OnStep | None) -> None:
    """Until all parts have ended; hands on rank 0's steps, and to all ranks that they are to end."""
    deadline = float("inf")
    while True:
        states = [part.process.poll() for part in parts]
        _pass_on(steps, on_step)
        if asked(desk.parent):
            (desk / STOP).touch()
        if any(states) or has_failure(desk):
            raise _failure(parts, desk)
        if all(state == 0 for state in states) or time.monotonic() > deadline:
            return
        if states[0] == 0:
            deadline = min(deadline, time.monotonic() + LINGER_SECONDS)
        time.sleep(POLL_SECONDS)


def _pass_on(steps: TextIO, on_step: OnStep | None) -> None:
    while True:
        place, line = steps.tell(), steps.readline()
        if not line.endswith("\n"):
            steps.seek(place)  # rank 0 is in the middle of it
            return
        if on_step:
            on_step(json.loads(line))


def _failure(parts: list[Part], desk: Path) -> TrialFailure | UserError:
    """A clear reason, else of a rank that was killed, else the first traceback: the other ranks miss it."""
    told = told_failure(desk)
    if asked(desk.parent) and not (told and told.expected):
        return Preempted("asked to end before a step was done")
    return told.error(desk) if told and (told.expected or not killed(parts)) else failure(parts)
