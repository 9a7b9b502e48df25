"""Worker processes on two pipes, that can be killed: no signals, no pools, safe under threads and forks."""

from __future__ import annotations

import os
import pickle
import select
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from limo_ablate.core.python import environment, python

_HEADER = struct.Struct("!Q")
_PROGRAM = "from limo_ablate.verify.worker import serve; serve({parent})"

WALL_SECONDS_PER_CPU_SECOND = 5
"""Wall time that a worker may take for each second of processor time: the machine may be busy."""


class WorkerDied(Exception):
    """The worker ended or had to be killed; the message says why."""


class WorkerTookTooLong(WorkerDied):
    """The worker was killed at its time limit."""


class WorkerProcess:
    """A Python process that runs functions of importable modules. Use from one thread at a time."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            python("-c", _PROGRAM.format(parent=os.getpid())),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            close_fds=True,
            start_new_session=True,
        )
        self.spent = 0.0
        """Processor time of the last call."""

    def call(self, function: Callable[[Any], Any], argument: Any, seconds: float | None) -> Any:
        """The result of `function(argument)`; WorkerDied past `seconds`, if there is a limit."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            write_message(self.process.stdin, (function, argument))
        except OSError as error:
            raise WorkerDied("the worker ended") from error
        if seconds is not None and not self._answers_within(seconds):
            self.kill()
            raise WorkerTookTooLong(f"more than {seconds:g} s in the worker")
        message = read_message(self.process.stdout)
        if message is None:
            self.kill()
            raise WorkerDied("the worker ended, out of memory or crashed")
        result, self.spent = message
        return result

    def _answers_within(self, seconds: float) -> bool:
        """Whether the worker answers before it has used `seconds` of processor time.

        Processor time, because a busy machine must not change a verdict; and at most
        WALL_SECONDS_PER_CPU_SECOND times as much wall time.
        """
        import psutil  # 20 ms, and few answers need a worker

        def spent() -> float:
            times = process.cpu_times()
            return times.user + times.system

        process = psutil.Process(self.process.pid)
        poll = select.poll()
        poll.register(self.process.stdout, select.POLLIN | select.POLLHUP)  # type: ignore[arg-type]
        start, cpu_at_start = time.monotonic(), spent()
        while not poll.poll(50):
            wall = time.monotonic() - start
            if spent() - cpu_at_start > seconds or wall > WALL_SECONDS_PER_CPU_SECOND * seconds:
                return False
        return True

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):  # closing flushes what a dead process will never read
                    pipe.close()


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


def serve(parent: int) -> None:
    """The worker's loop: calls from standard input, results to standard output, until the pipe closes.

    The limits are kept by the process that calls. Once that one, `parent`, is gone, so is the worker, even in
    the middle of a call that would never end.
    """
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a function prints must not get between the results
    while (message := read_message(source)) is not None:
        function, argument = message
        began = time.process_time()
        result = function(argument)
        write_message(sink, (result, time.process_time() - began))


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


class SharedWorker:
    """One worker process for all threads: started when first needed, replaced when it dies.

    `start` is the first function that it runs, before any call. A forked child inherits no worker: it drops
    the copy and starts its own.
    """

    def __init__(self, start: Callable[[None], Any], start_seconds: float) -> None:
        self.start, self.start_seconds = start, start_seconds
        self.reset()
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        self.worker: WorkerProcess | None = None
        self.lock = threading.Lock()

    def call(self, function: Callable[[Any], Any], argument: Any, seconds: float) -> tuple[Any, float]:
        """The result and the processor time it took. One call at a time.

        `seconds` includes neither waiting for other threads nor the worker's start.
        """
        with self.lock:
            if self.worker is not None and self.worker.process.poll() is not None:
                self.worker.kill()  # it died while it was idle
                self.worker = None
            if self.worker is None:
                self.worker = WorkerProcess()
                self._call(self.start, None, self.start_seconds)
            return self._call(function, argument, seconds), self.worker.spent

    def _call(self, function: Callable[[Any], Any], argument: Any, seconds: float) -> Any:
        assert self.worker is not None
        try:
            return self.worker.call(function, argument, seconds)
        except WorkerDied:
            self.worker.kill()
            self.worker = None
            raise
