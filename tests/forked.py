"""Programs in forks of a process that has imported what they need; all else of a run is as always.

A new interpreter would spend most of a test's processor time on imports. Tests of what a start itself
imports, or of how it finds its modules, start interpreters.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import re
import resource
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing import util
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NoReturn

from limo_ablate.core import registry
from limo_ablate.sweep import preload
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[1]
SWEEPS = ("limo_ablate.sweep.coordinate", "limo_ablate.sweep.join", "limo_ablate.trial.compose")
"""Imported for runners whose jobs are small functions (sweep/drive.py)."""
ALL = ("limo_ablate.sweep.warm", "limo_ablate.trial.track.run", "limo_ablate.report.page", *SWEEPS)
"""Imported for the whole of limo-ablate."""


@dataclass
class Process:
    """What tests use of a subprocess.Popen."""

    folder: Path
    """Its process id, what it printed and its exit code."""

    def __post_init__(self) -> None:
        self.pid = int(until((self.folder / "pid").exists) and (self.folder / "pid").read_text())

    @property
    def returncode(self) -> int | None:
        """Negative: the signal that ended it."""
        done = self.folder / "code"
        return int(done.read_text()) if done.exists() else None

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def errors(self) -> str:
        return (self.folder / "errors").read_text()

    def communicate(self) -> tuple[str, None]:
        self.wait()
        return self.output(), None

    def wait(self) -> int:
        until(lambda: self.returncode is not None)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def start(
    folder: Path, program: str, *arguments: str, cwd: Path | None = None, imports: Sequence[str] = ALL,
    environment: Mapping[str, str] | None = None, largest_file: int | None = None, nohup: bool = False,
    errors: str = "output", spare: bool = False,
) -> Process:  # fmt: skip
    """A process of a module or of a file.

    `folder` is new; `environment` is the whole of it; `errors`: the file for the error stream; `spare`:
    its fork server is a fork too, whose processes do not carry the runner's mark.
    """
    folder.mkdir(parents=True)
    order = {
        "folder": str(folder), "program": program, "arguments": arguments, "cwd": str(cwd or Path.cwd()),
        "environment": {**(os.environ if environment is None else environment)}, "errors": errors,
        "largest_file": largest_file, "nohup": nohup, "spare": spare,
    }  # fmt: skip
    server = _server(tuple(imports))
    assert server.stdin
    server.stdin.write(json.dumps(order) + "\n")
    server.stdin.flush()
    return Process(folder)


def limo_ablate(
    *words: str,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    report: Literal["whole", "page", "none"] = "page",
) -> subprocess.CompletedProcess[str]:
    """`python -m limo_ablate`, as subprocess.run gives it; `report`: what is drawn of reports."""
    program = ("limo_ablate",) if report == "whole" else (str(ROOT / "tests/less_report.py"), report)
    with TemporaryDirectory(prefix="forked") as folder:
        process = start(
            Path(folder) / "run",
            *program,
            *words,
            cwd=cwd,
            environment=environment,
            errors="errors",
            spare=True,
        )
        code = process.wait()
        return subprocess.CompletedProcess(words, code, process.output(), process.errors())


@cache
def _server(imports: tuple[str, ...]) -> subprocess.Popen[str]:
    """It ends with this process, which closes its input."""
    command = [sys.executable, "-m", "tests.forked", *imports]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, text=True, env=environment)
    atexit.register(_stop, server)
    return server


def _stop(server: subprocess.Popen[str]) -> None:
    assert server.stdin
    server.stdin.close()
    server.wait()


def _serve(imports: Sequence[str]) -> None:
    from limo_ablate.trial.compose import compose_trials
    from tests import conftest  # noqa: F401  # each configuration is composed once

    for name in imports:
        importlib.import_module(name)
    if "wandb" in sys.modules:
        from wandb.sdk.data_types._private import MEDIA_TMP

        atexit.unregister(MEDIA_TMP.cleanup)  # the first program to end would remove it for all others
    compose_trials([["track=none"]])
    gc.freeze()
    for line in sys.stdin:
        if os.fork() == 0:
            _watch(json.loads(line))
            os._exit(0)
        _reap()


def _reap() -> None:
    """Reaps the watchers that have ended; their processor time would else be in no account."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def _watch(order: dict[str, Any]) -> None:
    """Forks the program and keeps its exit code."""
    if (pid := os.fork()) == 0:
        _end(_run(order))
    _write(Path(order["folder"]) / "pid", pid)
    _write(Path(order["folder"]) / "code", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _write(path: Path, number: int) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(str(number))
    partial.rename(path)


def _run(order: dict[str, Any]) -> int:
    folder = Path(order["folder"])
    with (folder / "output").open("wb") as output, (folder / order["errors"]).open("ab") as errors:
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno() if order["errors"] == "output" else errors.fileno(), 2)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["cwd"])
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]  # the server removes what it has made
    if order["spare"]:
        _fork_servers_are_forked_too()
    if limit := order["largest_file"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    signal.signal(signal.SIGHUP, signal.SIG_IGN if order["nohup"] else signal.SIG_DFL)
    path = order["environment"].get("PYTHONPATH", "").split(os.pathsep)
    if new := [part for part in path if part and part not in sys.path]:
        sys.path[:0] = new
        registry._all_points.cache_clear()  # there may be packages in it
    sys.argv = [order["program"], *order["arguments"]]
    try:
        if order["program"].endswith(".py"):
            runpy.run_path(order["program"], run_name="__main__")
        else:
            runpy.run_module(order["program"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _fork_servers_are_forked_too() -> None:
    """multiprocessing's fork server, the first of this process, is one that waits here, not an interpreter.

    It is forked now, since what the program imports and starts later does not survive a fork.
    """
    ours, its = socket.socketpair()
    start = util.spawnv_passfds
    if (server := os.fork()) == 0:
        ours.close()
        _become_fork_server(its)
    its.close()

    def end_unused() -> None:
        ours.close()
        os.waitpid(server, 0)

    atexit.register(end_unused)

    def spawn(path: bytes, arguments: list[str], descriptors: list[int]) -> int:
        if "multiprocessing.forkserver" not in arguments[-1]:
            return start(path, arguments, descriptors)
        util.spawnv_passfds = start  # type: ignore[assignment]
        atexit.unregister(end_unused)
        socket.send_fds(ours, [json.dumps([arguments[-1], {**os.environ}]).encode()], descriptors)
        return server

    util.spawnv_passfds = spawn  # type: ignore[assignment]


def _become_fork_server(orders: socket.socket) -> NoReturn:
    order, descriptors, *_ = socket.recv_fds(orders, 1 << 20, 2)
    if not order:
        os._exit(0)  # the program has ended
    code, environment = json.loads(order)
    os.environ.clear()
    os.environ.update(environment)
    importlib.reload(preload)
    try:
        exec(re.sub(r"main\(\d+, \d+,", f"main({descriptors[0]}, {descriptors[1]},", code))  # noqa: S102
    finally:
        os._exit(0)


def _end(code: int) -> NoReturn:
    """As an interpreter ends, but for the tearing down of modules, which would copy the server's memory."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1:])
