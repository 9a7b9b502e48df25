"""A training in several processes of this machine: started together, ended together.

Each rank is `python -m limo_ablate.train.worker` in a process group of its own. When one dies, all are
killed at once and its traceback is the trial's failure; when this process dies, the kernel kills them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from limo_ablate.errors import TrialFailure

if TYPE_CHECKING:
    from limo_ablate.train.curve import OnStep
    from limo_ablate.train.loop import Job

POLL_SECONDS = 0.05
LINGER_SECONDS = 30.0
"""What the other ranks get to leave once rank 0 has written everything."""
TRACEBACK_LINES = 30
DESK, JOB, STEPS = "ranks", "job.json", "steps.jsonl"


@dataclass(frozen=True, slots=True)
class Rank:
    number: int
    process: subprocess.Popen[bytes]
    log: Path


def run_ranks(job: Job, on_step: OnStep | None) -> None:
    """Runs `job` in `job.hardware.processes` ranks; raises TrialFailure when one of them fails."""
    desk = Path(job.folder) / DESK
    shutil.rmtree(desk, ignore_errors=True)
    desk.mkdir()
    (desk / JOB).write_text(json.dumps(asdict(job)))
    (desk / STEPS).touch()
    ranks: list[Rank] = []
    try:
        ranks += [_start(job, number, desk) for number in range(job.hardware.processes)]
        with (desk / STEPS).open() as steps:
            _wait(ranks, steps, on_step)
    finally:
        for rank in ranks:
            _kill(rank)
    shutil.rmtree(desk)


def _start(job: Job, number: int, desk: Path) -> Rank:
    world = str(job.hardware.processes)
    environment = os.environ | {
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": world,
        "LOCAL_WORLD_SIZE": world,
        "OMP_NUM_THREADS": str(job.hardware.threads),
    }
    if job.hardware.device == "cpu":
        environment["ACCELERATE_USE_CPU"] = "true"
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")  # by host name it may find an address it can't use
    log = desk / f"rank{number}.log"
    command = [sys.executable, "-m", "limo_ablate.train.worker", str(desk / JOB), str(os.getpid())]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    return Rank(number, process, log)


def _wait(ranks: list[Rank], steps: TextIO, on_step: OnStep | None) -> None:
    """Until all ranks have left; hands on rank 0's steps meanwhile."""
    deadline = float("inf")
    while True:
        states = [rank.process.poll() for rank in ranks]
        _pass_on(steps, on_step)
        if any(states):
            raise _failure(ranks)
        if all(state == 0 for state in states) or time.monotonic() > deadline:
            return
        if states[0] == 0:
            deadline = min(deadline, time.monotonic() + LINGER_SECONDS)
        time.sleep(POLL_SECONDS)


def _pass_on(steps: TextIO, on_step: OnStep | None) -> None:
    while True:
        start, line = steps.tell(), steps.readline()
        if not line.endswith("\n"):
            steps.seek(start)  # rank 0 is in the middle of it
            return
        if on_step:
            on_step(json.loads(line))


def _failure(ranks: list[Rank]) -> TrialFailure:
    """Of the rank that failed first: the others then fail for want of it, and write so later."""
    failed = min((rank for rank in ranks if rank.process.poll()), key=lambda rank: rank.log.stat().st_mtime)
    code = failed.process.returncode
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    end = "\n".join(failed.log.read_text(errors="replace").splitlines()[-TRACEBACK_LINES:])
    return TrialFailure(
        f"rank {failed.number} of {len(ranks)} {how}; its log is {failed.log}\n{end}".rstrip()
    )


def _kill(rank: Rank) -> None:
    with suppress(ProcessLookupError):
        os.killpg(rank.process.pid, signal.SIGKILL)
    rank.process.wait()
