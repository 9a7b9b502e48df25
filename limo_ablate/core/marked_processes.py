"""Finding and ending all processes that a runner has started, by a mark in their environment.

Everything a process starts inherits its environment, whatever session or parent it gets. So a runner sets a
variable to its id before it starts anything, and whoever has to clean up looks for that value.
"""

from __future__ import annotations

import os
import signal
import time

import psutil

RUNNER_MARK = "LIMO_ABLATE_RUNNER"
"""Environment variable: id of the runner that a process works for."""
ATTEMPT_MARK = "LIMO_ABLATE_JOB"
"""Environment variable: which of the runner's attempts a process belongs to. Only what an attempt starts is
found by it: the attempt itself is a fork, whose environment the system still shows as the fork server's."""
GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL: enough to write a small checkpoint, short for someone who waits."""


def find_marked(mark: str, variable: str = RUNNER_MARK) -> list[int]:
    """Ids of the live processes that were started with `variable=mark` in their environment.

    Without this process and its children: the fork server and its resource tracker end with it by themselves.
    """
    return [pid for pid in psutil.pids() if _is_marked(pid, variable, mark)]


def _is_marked(pid: int, variable: str, mark: str) -> bool:
    try:
        process = psutil.Process(pid)
        return (
            process.environ().get(variable) == mark
            and process.status() != psutil.STATUS_ZOMBIE
            and os.getpid() not in (pid, process.ppid())
        )
    except psutil.Error:  # ended meanwhile, or another user's
        return False


def end_marked(mark: str, grace: float = GRACE, variable: str = RUNNER_MARK) -> int:
    """Sends SIGTERM to all marked processes, then SIGKILL after `grace` seconds; returns how many there
    were."""
    found = find_marked(mark, variable)
    for number, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, GRACE)):
        for pid in find_marked(mark, variable) if wait else ():
            _signal(pid, number)
        deadline = time.monotonic() + wait
        while found and find_marked(mark, variable) and time.monotonic() < deadline:
            time.sleep(0.02)
    return len(found)


def end_group(group: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Signals a process group, if it still exists."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
