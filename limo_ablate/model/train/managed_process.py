"""Processes of this machine that belong together: when one fails, all are ended and its end is told."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from limo_ablate.core.errors import TrialFailure

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.05
TRACEBACK_LINES = 30


@dataclass(frozen=True, slots=True)
class Order:
    """A process to be started."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path


@dataclass(frozen=True, slots=True)
class Part:
    order: Order
    process: subprocess.Popen[bytes]


def start(order: Order) -> Part:
    """Starts it in a process group of its own, with a standard input that closes when this process dies."""
    with order.log.open("wb") as output:
        process = subprocess.Popen(
            order.command, env=order.environment, stdin=subprocess.PIPE, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    return Part(order, process)


def end(part: Part) -> None:
    """Kills it; what it started on another machine ends itself, now that nobody holds its input open."""
    if part.process.stdin:
        part.process.stdin.close()
    with suppress(ProcessLookupError):
        os.killpg(part.process.pid, signal.SIGKILL)
    part.process.wait()


def killed(parts: Sequence[Part]) -> bool:
    """Whether one was ended by a signal."""
    return any((part.process.poll() or 0) < 0 for part in parts)


def failure(parts: Sequence[Part]) -> TrialFailure:
    """Of the one that was killed, else of the first that failed: the others miss it, and write so later."""
    failed = [part for part in parts if part.process.poll()]
    first = min(failed, key=lambda part: ((part.process.poll() or 0) > 0, part.order.log.stat().st_mtime))
    code, log = first.process.poll() or 0, first.order.log
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    last = "\n".join(log.read_text(errors="replace").splitlines()[-TRACEBACK_LINES:])
    return TrialFailure(f"{first.order.name} {how}; its log is {log}\n{last}".rstrip())


def die_with(parent: int) -> None:
    """Has the kernel kill this process when `parent` dies, also by kill -9 (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
