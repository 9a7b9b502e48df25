"""Processes of this machine that work together: if one fails, all are killed and its error is raised."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from limo_ablate.core.errors import TrialFailure

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.05
NOTICED_SECONDS = 1.0
"""Time in which the end of a killed process is seen."""
TRACEBACK_LINES = 30


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process to start."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    first_input: bytes = b""
    """What it finds on its standard input, which stays open."""


@dataclass(frozen=True, slots=True)
class ManagedProcess:
    """A process that has been started."""

    spec: ProcessSpec
    process: subprocess.Popen[bytes]


def start(spec: ProcessSpec) -> ManagedProcess:
    """Starts a process in a group of its own; its standard input closes when this process dies."""
    with spec.log.open("wb") as output:
        process = subprocess.Popen(
            spec.command, env=spec.environment, stdin=subprocess.PIPE, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    if spec.first_input and process.stdin:
        with suppress(BrokenPipeError):  # it has already failed, as its exit code will say
            process.stdin.write(spec.first_input)
            process.stdin.flush()
    return ManagedProcess(spec, process)


def kill(managed: ManagedProcess) -> None:
    """Kills the process; what it started on another machine exits when its standard input closes."""
    if managed.process.stdin:
        with suppress(BrokenPipeError):
            managed.process.stdin.close()
    with suppress(ProcessLookupError):
        os.killpg(managed.process.pid, signal.SIGKILL)
    managed.process.wait()


def any_killed(processes: Sequence[ManagedProcess]) -> bool:
    """Whether a signal ended one of the processes, or does so within `NOTICED_SECONDS`: the others may lose
    their connection to it before its end is seen."""
    deadline = time.monotonic() + NOTICED_SECONDS
    while True:
        codes = [managed.process.poll() for managed in processes]
        if any((code or 0) < 0 for code in codes):
            return True
        if None not in codes or time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)


def process_failure(processes: Sequence[ManagedProcess]) -> TrialFailure:
    """The error of the process that was killed, or of the first that failed.

    The others fail later, because they lose their connection to it; so the oldest log is the first failure's.
    """
    failed = [managed for managed in processes if managed.process.poll()]
    first = min(failed, key=lambda one: ((one.process.poll() or 0) > 0, one.spec.log.stat().st_mtime))
    code, log = first.process.poll() or 0, first.spec.log
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-TRACEBACK_LINES:])
    return TrialFailure(f"{first.spec.name} {how}; its log is {log}\n{tail}".rstrip())


def die_with(parent: int) -> None:
    """Makes the kernel kill this process when `parent` dies, even by kill -9 (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
