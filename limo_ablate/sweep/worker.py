"""Calls in processes of their own, forked from a server that has already imported the stack.

Each process leads a session, so that it can be ended with all that it has started; it watches its runner and
dies with it; its output goes to its log. It leaves by `os._exit` once the call has returned: by then
everything is on disk, and destructors of the stack can hang (gloo).
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import forkserver, util
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from limo_ablate.core.credentials import masked
from limo_ablate.core.errors import EXIT_USER_ERROR, Preempted, StoreUnreachable, UserError, is_disk_full
from limo_ablate.core.marked_processes import ATTEMPT_MARK, GRACE, RUNNER_MARK, end_group, end_marked
from limo_ablate.core.python import SAFE_PATH
from limo_ablate.sweep import preload

LOG = "trial.log"
"""File in a trial's folder."""
FAILED, BROKEN, DISK_FULL, PREEMPTED = 1, 70, 74, 75
"""Exit codes: the call raised (a UserError gives 2); the stack can't be imported, so that nothing can run; a
disk is full, or the store away; it was asked to end, did, and can continue where it stopped."""
SERVER_DIED = 255
"""The exit code that multiprocessing gives a process whose fork server has died: it can't know the real
one."""
LONGEST_REASON = 2000
"""Characters; the pipe is read only after the process has ended, so a reason must fit its buffer (64 KiB)."""


@dataclass(frozen=True, slots=True)
class Call:
    """A function by name, with its arguments: the runner need not import what only its workers use."""

    function: str
    """`package.module:function`."""
    arguments: tuple[Any, ...]

    def __call__(self) -> Any:
        module, _, function = self.function.partition(":")
        return getattr(import_module(module), function)(*self.arguments)


class RunningCall(Protocol):
    """A call that runs in a process of its own, on whatever machine."""

    @property
    def sentinel(self) -> int:
        """Ready, for `multiprocessing.connection.wait`, when the process has ended."""
        ...

    @property
    def started(self) -> float | None:
        """When it began, by `time.monotonic`; None while it still waits for a machine."""
        ...

    @property
    def machine(self) -> str | None:
        """Name of the machine it runs on, once it is known; None for the runner's own."""
        ...

    @property
    def running(self) -> bool: ...

    def result(self) -> tuple[int, str | None]:
        """(exit code, reason of failure) once it has ended; whatever it left running is ended too."""
        ...

    def terminate(self, number: signal.Signals) -> None:
        """Signals it and its children: SIGTERM asks it to end, SIGKILL ends it."""
        ...


class Worker:
    """A `RunningCall` on this machine."""

    machine = None

    def __init__(self, call: Call, environment: Mapping[str, str], log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.started = time.monotonic()
        self._mark = environment.get(ATTEMPT_MARK)
        context = multiprocessing.get_context("forkserver")
        self._reasons, sender = context.Pipe(duplex=False)
        self._process = context.Process(target=_main, args=(call, dict(environment), str(log), sender))
        self._process.start()
        sender.close()

    @property
    def sentinel(self) -> int:
        return self._process.sentinel

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def result(self) -> tuple[int, str | None]:
        self._process.join()
        end_group(self.pid)
        code = self._process.exitcode
        assert code is not None
        if code and self._mark:
            end_marked(self._mark, variable=ATTEMPT_MARK, grace=0)
        reason = self._given_reason() or (_describe(code) if code else None)
        self._reasons.close()
        self._process.close()
        return code, reason

    def _given_reason(self) -> str | None:
        """The reason that the process itself gave; one that was killed gave none."""
        try:
            return str(self._reasons.recv()) if self._reasons.poll() else None
        except EOFError:
            return None

    def terminate(self, number: signal.Signals) -> None:
        if self.running:
            end_group(self.pid, number)


def _describe(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    if code == SERVER_DIED:
        return "its fork server died"
    return f"ended with exit code {code}"


def end_workers(workers: Sequence[RunningCall], grace: float = GRACE) -> None:
    """Sends SIGTERM to all running workers, then SIGKILL after `grace` seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for worker in workers:
            worker.terminate(number)
        deadline = time.monotonic() + grace
        while (alive := [w for w in workers if w.running]) and time.monotonic() < deadline:
            wait([w.sentinel for w in alive], timeout=deadline - time.monotonic())


@contextmanager
def fork_server(modules: Sequence[str], mark: str, threads: int) -> Iterator[None]:
    """A server that has imported `modules`; all its processes carry the runner's mark.

    It starts with the first worker. `threads` is fixed here: OpenMP reads it when torch is imported.
    """
    environment = {
        preload.VARIABLE: ",".join(modules),
        RUNNER_MARK: mark,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        **SAFE_PATH,
    }
    server: Any = forkserver._forkserver
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    server._stop()  # a server that already runs has imported other modules
    server.set_forkserver_preload([preload.__name__])
    try:
        yield
    except BaseException:
        if server._forkserver_pid is not None:  # it may be in the middle of its imports, which take seconds
            os.kill(server._forkserver_pid, signal.SIGKILL)
        raise
    finally:
        server._stop()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _main(call: Call, environment: dict[str, str], log: str, reasons: Connection) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_runner, daemon=True).start()
    os.environ.update(environment)
    _redirect(log)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    code = _run(call, reasons)
    util._run_finalizers(0)  # type: ignore[attr-defined]  # removes named semaphores, such as tqdm's
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(call: Call, reasons: Connection) -> int:
    if preload.FAILURE:
        reasons.send(preload.FAILURE[:LONGEST_REASON])
        return BROKEN
    try:
        _limit_threads(int(os.environ["OMP_NUM_THREADS"]))
        call()
    except BaseException as error:
        print(masked(traceback.format_exc()), file=sys.stderr)
        reasons.send(masked(f"{type(error).__name__}: {error}")[:LONGEST_REASON])
        return _exit_code(error)
    return 0


def _exit_code(error: BaseException) -> int:
    if isinstance(error, StoreUnreachable):
        return DISK_FULL
    if isinstance(error, UserError):
        return EXIT_USER_ERROR
    if isinstance(error, Preempted):
        return PREEMPTED
    return DISK_FULL if is_disk_full(error) else FAILED


def _die_with_runner() -> None:
    runner = multiprocessing.parent_process()
    assert runner is not None
    wait([runner.sentinel])
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _redirect(log: str) -> None:
    """Appends standard output and error to `log`, including those of libraries and children."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _limit_threads(threads: int) -> None:
    """torch took its number of threads from the fork server; this trial's may differ."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
