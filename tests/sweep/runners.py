"""Runners with the small jobs (drive.py), forked from a process that has imported what they need.

A new interpreter would spend most of a test's processor time on imports; all else of a runner is as always.
"""

from __future__ import annotations

import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import traceback
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.waiting import until

HERE = Path(__file__).parent


@dataclass
class Runner:
    """What tests use of a subprocess.Popen."""

    folder: Path
    """Its process id, output and exit code."""

    def __post_init__(self) -> None:
        self.pid = int(until((self.folder / "pid").exists) and (self.folder / "pid").read_text())

    @property
    def returncode(self) -> int | None:
        """Negative: the signal that ended it."""
        done = self.folder / "code"
        return int(done.read_text()) if done.exists() else None

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def communicate(self) -> tuple[str, None]:
        until(lambda: self.returncode is not None)
        return self.output(), None

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def start_runner(
    folder: Path, *arguments: str, largest_file: int | None = None, nohup: bool = False, **environment: str
) -> Runner:
    """A process of drive.py with these arguments; `folder` for what is known of it is new."""
    folder.mkdir(parents=True)
    order = {
        "folder": str(folder), "arguments": arguments, "largest_file": largest_file, "nohup": nohup,
        "environment": {**os.environ, "PYTHONPATH": str(HERE), **environment},
    }  # fmt: skip
    server = _server()
    assert server.stdin
    server.stdin.write(json.dumps(order) + "\n")
    server.stdin.flush()
    return Runner(folder)


@cache
def _server() -> subprocess.Popen[str]:
    """It ends with this process, which closes its input."""
    command = [sys.executable, "-m", "tests.sweep.runners"]
    return subprocess.Popen(command, cwd=HERE.parents[1], stdin=subprocess.PIPE, text=True)


def _serve() -> None:
    from limo_ablate.sweep import coordinate, join  # noqa: F401
    from limo_ablate.trial.compose import compose_trials
    from tests.conftest import compose_once

    compose_once()
    compose_trials([["track=none"]])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if os.fork() == 0:
            _watch(json.loads(line))
            os._exit(0)


def _watch(order: dict[str, Any]) -> None:
    """Forks the runner and keeps its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if (pid := os.fork()) == 0:
        os._exit(_run(order))
    _write(Path(order["folder"]) / "pid", pid)
    _write(Path(order["folder"]) / "code", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _write(path: Path, number: int) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(str(number))
    partial.rename(path)


def _run(order: dict[str, Any]) -> int:
    with (Path(order["folder"]) / "output").open("wb") as output, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.clear()
    os.environ.update(order["environment"])
    if limit := order["largest_file"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    signal.signal(signal.SIGHUP, signal.SIG_IGN if order["nohup"] else signal.SIG_DFL)
    sys.path.insert(0, str(HERE))
    sys.argv = [str(HERE / "drive.py"), *order["arguments"]]
    code: Any = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    return int(code)


if __name__ == "__main__":
    _serve()
