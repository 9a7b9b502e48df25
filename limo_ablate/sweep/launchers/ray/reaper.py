"""Ends what a trial has started on a Ray node, once the Ray worker that watched the trial is gone.

The trial dies with its worker, and with it its process group; what it has put into a session of its own would
live on, with a GPU's memory. A worker that is killed can't see to that, so this process waits for its end. On
its standard input it reads which attempt runs: the process and the mark of one, or an empty line for none.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from typing import IO

import psutil

from limo_ablate.core.marked_processes import ATTEMPT_MARK, GRACE, end_group, end_marked
from limo_ablate.core.python import environment, python


def start() -> IO[str]:
    """Starts one for this process; what is returned takes the lines. Raises OSError."""
    command = python("-m", "limo_ablate.sweep.launchers.ray.reaper")
    reaper = subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, text=True, bufsize=1, start_new_session=True
    )
    assert reaper.stdin is not None
    if code := reaper.wait():  # it goes on in a fork
        raise OSError(f"`{shlex.join(command)}` ended with exit code {code}")
    return reaper.stdin


def main() -> None:
    if os.fork():  # a child of the Ray worker would be killed with it, by Ray
        os._exit(0)
    current = ""
    for line in sys.stdin:
        current = line.strip()
    if current:
        pid, _, mark = current.partition(" ")
        end_group(int(pid))
        deadline = time.monotonic() + GRACE
        while _runs(int(pid)) and time.monotonic() < deadline:  # until then, it may start something
            time.sleep(0.02)
        end_marked(mark, variable=ATTEMPT_MARK, grace=0)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # a container may leave it so
    except psutil.Error:
        return False


if __name__ == "__main__":
    main()
