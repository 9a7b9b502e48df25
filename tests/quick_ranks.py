"""Ranks forked from a server that has imported torch, so that tests don't wait for the imports each time."""

import ctypes
import importlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from limo_ablate.model.train import managed_process, worker

PRELOAD = [
    "transformers.models.qwen2.modeling_qwen2", "accelerate", "peft", "limo_ablate.model.train.loop",
    "torch._dynamo", "torch.distributed.checkpoint.state_dict", "torch.distributed.fsdp",
]  # fmt: skip
_ours: int | None = None
"""Process id of the server that has imported these."""


def forked(target: Callable[..., Any], *args: Any) -> ForkServerProcess:
    """A started process that calls `target`; a sweep's fork server that runs here is replaced by ours."""
    global _ours
    server: Any = forkserver._forkserver
    if _ours is None or server._forkserver_pid != _ours:
        server._stop()
        server.set_forkserver_preload(PRELOAD)
    process = multiprocessing.get_context("forkserver").Process(target=target, args=args)
    process.start()
    _ours = server._forkserver_pid
    return process


class Forked:
    """What `managed_process` uses of a subprocess.Popen, for a process of the server."""

    stdin = None

    def __init__(self, process: ForkServerProcess) -> None:
        self.process = process
        assert process.pid is not None
        self.pid = process.pid

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> None:
        self.process.join()


DEEPSPEED = Path(__file__).parents[1] / ".deepspeed"
"""Where `make deepspeed` puts DeepSpeed, which transformers would import in every process that trains."""
MALLOPT = {"MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_MMAP_THRESHOLD_": -3}
"""Variables that the C library reads when a program starts, which a fork does not, as options of mallopt."""


def settle(log: Path, environment: dict[str, str]) -> None:
    """Has a process of the server be as if it had been started with this environment and output."""
    os.setsid()
    os.environ.update(environment)
    for name in MALLOPT.keys() & environment.keys():
        ctypes.CDLL(None).mallopt(MALLOPT[name], int(environment[name]))
    with log.open("wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    if "DS_ACCELERATOR" in environment and DEEPSPEED.is_dir():
        sys.path.append(str(DEEPSPEED))
        for name in ("accelerate.utils", "accelerate.accelerator", "transformers.integrations.deepspeed"):
            importlib.reload(sys.modules[name])  # the server has imported them without DeepSpeed


def _rank(path: Path, log: Path, environment: dict[str, str]) -> None:
    settle(log, environment)
    worker.main(path, os.getppid())


def _popen(command: list[str], *, env: dict[str, str], stdout: Any, **_: Any) -> Forked:
    path = Path(command[command.index("limo_ablate.model.train.worker") + 1])
    own = {k: v for k, v in env.items() if k.startswith("MALLOC_") or os.environ.get(k) != v}
    return Forked(forked(_rank, path, Path(stdout.name), own))


@contextmanager
def quick_ranks() -> Iterator[list[Forked]]:
    """Within it, ranks start in a tenth of a second; all else about them is as always. They are listed."""
    started: list[Forked] = []

    def popen(*command: Any, **settings: Any) -> Forked:
        started.append(_popen(*command, **settings))
        return started[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(managed_process.subprocess, "Popen", popen)
        yield started
