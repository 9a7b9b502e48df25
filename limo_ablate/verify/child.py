"""A helper process on two pipes, that can be killed: no signals, no pools, safe under threads and forks."""

from __future__ import annotations

import os
import pickle
import select
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

_HEADER = struct.Struct("!Q")
_PROGRAM = "from limo_ablate.verify.child import serve; serve()"


PATIENCE = 5
"""Wall time a helper may take for each second of its own: the machine may be busy."""


class ChildDied(Exception):
    """The helper ended or had to be killed; the message says why."""


class Child:
    """A Python process that runs named functions of `limo_ablate.verify.jobs`. Use from one thread at a
    time."""

    def __init__(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
            close_fds=True,
            start_new_session=True,
        )

    def call(self, job: str, argument: Any, seconds: float | None) -> Any:
        """The result of `job(argument)`; ChildDied past `seconds`, counted from when the helper begins."""
        self.send(job, argument)
        return self.receive(seconds)

    def send(self, job: str, argument: Any) -> None:
        assert self.process.stdin is not None
        try:
            write_message(self.process.stdin, (job, argument))
        except OSError as error:
            raise ChildDied("the worker ended") from error

    def receive(self, seconds: float | None) -> Any:
        assert self.process.stdout is not None
        if seconds is not None and not self._answers_within(seconds):
            self.kill()
            raise ChildDied(f"more than {seconds:g} s in the worker")
        message = read_message(self.process.stdout)
        if message is None:
            self.kill()
            raise ChildDied("the worker ended, out of memory or crashed")
        return message

    def _answers_within(self, seconds: float) -> bool:
        """Whether there is something to read before the helper has used so much processor time.

        Its own time, since a busy machine must not change a verdict; PATIENCE times as much on the wall.
        """
        poll = select.poll()
        poll.register(self.process.stdout, select.POLLIN | select.POLLHUP)  # type: ignore[arg-type]
        begun, used = time.monotonic(), _cpu_seconds(self.process.pid)
        while not poll.poll(50):
            wall = time.monotonic() - begun
            spent = wall if used is None else (_cpu_seconds(self.process.pid) or used) - used
            if spent > seconds or wall > PATIENCE * seconds:
                return False
        return True

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was still to be written to a dead process
                    pipe.close()


def _cpu_seconds(pid: int) -> float | None:
    """Processor time of a process; None where the system has no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_message(stream: Any, message: Any) -> None:
    data = pickle.dumps(message)
    stream.write(_HEADER.pack(len(data)) + data)
    stream.flush()


def read_message(stream: Any) -> Any:
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    (size,) = _HEADER.unpack(header)
    data = stream.read(size)
    return pickle.loads(data) if len(data) == size else None  # noqa: S301 - from our own process


def serve() -> None:
    """The helper's loop: jobs from standard input, results to standard output, until the pipe closes."""
    from limo_ablate.verify.jobs import JOBS

    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while (message := read_message(source)) is not None:
        job, argument = message
        write_message(sink, JOBS[job](argument))


class Worker:
    """This process's SymPy helper, shared by its threads: started when first needed, replaced when it dies.

    A fork inherits no helper: the copy is dropped there, and the child starts its own.
    """

    def __init__(self) -> None:
        self.reset()
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        self.child: Child | None = None
        self.lock = threading.Lock()

    def call(self, job: str, argument: Any, *, start_seconds: float, seconds: float) -> Any:
        """One job at a time; waiting for the lock or for a start is not counted."""
        with self.lock:
            if self.child is not None and self.child.process.poll() is not None:
                self.child.kill()  # it died while it was idle
                self.child = None
            if self.child is None:
                self.child = Child()
                self.guarded("start", None, start_seconds)
            return self.guarded(job, argument, seconds)

    def guarded(self, job: str, argument: Any, seconds: float) -> Any:
        assert self.child is not None
        try:
            return self.child.call(job, argument, seconds)
        except ChildDied:
            self.child.kill()
            self.child = None
            raise
