"""A trial on a node of a Ray cluster: the task that starts it there, watches it and sends back its folder.

The task's worker is kept by Ray and used again. It has a fork server, as a runner on this machine has, so
that only a node's first trials wait for imports. A trial is a process of that server: it dies with the task's
worker, which dies with its node or with the sweep.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO, Any

from limo_ablate.analysis.results import METRICS
from limo_ablate.core.code import code_digest
from limo_ablate.core.errors import is_disk_full
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.marked_processes import ATTEMPT_MARK, end_marked
from limo_ablate.core.progress import PROGRESS, PROGRESS_VARIABLE
from limo_ablate.sweep.launchers.ray import reaper as ray_reaper
from limo_ablate.sweep.launchers.ray.mail import Ended, Item, Part, Started
from limo_ablate.sweep.slots import Slot
from limo_ablate.sweep.worker import BROKEN, DISK_FULL, FAILED, LOG, Call, Worker, fork_server
from limo_ablate.trial.evaluate.config import REPORTS

BEAT = 0.5
"""Seconds between two looks at what a trial has written, and at what the sweep wants."""
PART = 2**20
"""Bytes of a part, at most."""
GROWING, WHOLE = (LOG, REPORTS), (PROGRESS,)
"""Files of a trial's folder that the sweep has while it runs: appended to, or replaced."""
TRIALS = ".limo-ablate-trials"
"""Folder in a node's working directory with the folders of trials that run there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a node needs to know to run a trial."""

    attempt: str
    """Its name in the mailbox, and the value of `ATTEMPT_MARK` in the environment of all that it starts; no
    other attempt has it."""
    call: Call
    """Its function; among the arguments, the sweep's own path of `folder` stands for the node's."""
    folder: Path
    """The trial's folder, as the sweep has it."""
    files: Mapping[str, bytes]
    """What an earlier attempt has left there."""
    hardware: HardwareConfig
    directory: str
    """The node's working directory, as `launch.ray.folder` has it."""
    modules: Sequence[str]
    """What the fork server imports ahead."""
    study: str
    """The study's name among all that use the cluster."""
    runner: str
    threads: int
    environment: Mapping[str, str]
    """Variables of the sweep that trials on all machines get."""
    code: tuple[str, str]
    """`code_version` of the sweep."""


def code_version() -> tuple[str, str]:
    """Version of Python and digest of the code that takes part in trials: equal on all nodes."""
    return platform.python_version(), code_digest()


def run(order: Order, mailbox: Any) -> None:
    """The task: returns when all that the trial has left is sent."""
    import ray

    def post(item: Item) -> None:
        ray.get(mailbox.put.remote(order.attempt, item))

    context = ray.get_runtime_context()
    host = ray.util.get_node_ip_address()
    post(Started(context.get_node_id(), host))
    code, reason = why_not(order, host)
    if reason is None:
        try:
            code, reason = _run(order, mailbox, post)
        except NotPrepared as error:
            code = DISK_FULL if is_disk_full(error.__cause__) else BROKEN
            reason = f"node {host} can't run a trial in {_expanded(order.directory)}: {error}"
        except Exception as error:  # what Ray itself reports has happened before the trial had started
            code, reason = FAILED, f"{type(error).__name__}: {error}"
    post(Ended(code, reason))


def why_not(order: Order, host: str) -> tuple[int, str | None]:
    """(exit code, reason) where no trial could run on this node as the sweep means it."""
    directory = _expanded(order.directory)
    if (mine := code_version()) != order.code:
        kind = "Python" if mine[0] != order.code[0] else "code of limo-ablate"
        here, there = (mine[0], order.code[0]) if kind == "Python" else (mine[1][:8], order.code[1][:8])
        return BROKEN, f"node {host} has other {kind} ({here}) than the sweep ({there}); install the same"
    if not directory.is_dir():
        return BROKEN, f"node {host} has no folder {directory}; make it there, or set launch.ray.folder"
    return 0, None


def end_leftovers(runner: str, unused: str) -> None:
    """A task: ends what this runner has left on the task's node, and removes the folder `unused`."""
    end_marked(runner, grace=0)
    shutil.rmtree(_expanded(unused), ignore_errors=True)


def _run(order: Order, mailbox: Any, post: Callable[[Item], None]) -> tuple[int, str | None]:
    import ray

    folder, worker = _prepared(order)
    sent = Sent(folder, post)
    try:
        next_order = mailbox.next_order.remote(order.attempt)
        while worker.running:
            wait([worker.sentinel], timeout=BEAT)
            if ray.wait([next_order], timeout=0)[0]:
                worker.terminate(signal.Signals(ray.get(next_order)))
                next_order = mailbox.next_order.remote(order.attempt)
            sent.what_changed()
    except BaseException:  # the sweep is gone, or does not want it any more
        worker.terminate(signal.SIGKILL)
        worker.result()
        raise
    code, reason = worker.result()
    _tell_reaper("")
    sent.rest()
    shutil.rmtree(folder)
    return code, reason


class NotPrepared(Exception):
    """This node could not start any trial; its cause is an OSError."""


def _prepared(order: Order) -> tuple[Path, Worker]:
    """The trial's folder here, and its process."""
    try:
        os.chdir(_expanded(order.directory))
        folder = Path(TRIALS, order.study, order.folder.parent.name, order.folder.name).absolute()
        shutil.rmtree(folder, ignore_errors=True)  # of an attempt whose worker was killed
        for path, data in order.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        return folder, _start(order, folder)
    except OSError as error:
        raise NotPrepared(str(error)) from error


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser()


def _start(order: Order, folder: Path) -> Worker:
    _keep_fork_server(order)
    gpus = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
    # Ray gives a task without GPUs all of them
    own = Slot(0, gpus=tuple(gpus) if order.hardware.device == "cuda" else ()).environment(order.hardware)
    own |= {PROGRESS_VARIABLE: str(folder / PROGRESS), ATTEMPT_MARK: order.attempt}
    here = (folder if argument == order.folder else argument for argument in order.call.arguments)
    with _without_main_file():
        call = replace(order.call, arguments=tuple(here))
        worker = Worker(call, {**order.environment, **own}, folder / LOG)
    _tell_reaper(f"{worker.pid} {order.attempt}")
    return worker


_server = ExitStack()
_reaper: IO[str] | None = None
_of: tuple[object, ...] = ()
"""What this worker's fork server was started for."""


def _tell_reaper(line: str) -> None:
    assert _reaper is not None
    _reaper.write(line + "\n")


def _keep_fork_server(order: Order) -> None:
    global _of, _reaper
    _reaper = _reaper or ray_reaper.start()
    wanted = (tuple(order.modules), order.runner, order.threads)
    if _of != wanted:
        _server.close()
        _server.enter_context(fork_server(order.modules, order.runner, order.threads))
        _of = wanted


@contextmanager
def _without_main_file() -> Iterator[None]:
    """Each process would import the main module, which is Ray's, and all of Ray with it."""
    main = sys.modules["__main__"]
    file = main.__dict__.pop("__file__", None)
    try:
        yield
    finally:
        if file is not None:
            main.__file__ = file


@dataclass
class Sent:
    """What of a folder the sweep has."""

    folder: Path
    post: Callable[[Item], None]
    _offsets: dict[str, int] = field(default_factory=dict)
    _times: dict[str, int] = field(default_factory=dict)

    def what_changed(self) -> None:
        """Sends what changed in the files that the sweep has while the trial runs."""
        for name in GROWING:
            self._send_growth(name)
        for name in WHOLE:
            path = self.folder / name
            if path.exists() and self._times.get(name) != (now := path.stat().st_mtime_ns):
                self._times[name] = now
                self.post(Part(name, path.read_bytes(), appended=False))

    def rest(self) -> None:
        """Sends the folder, metrics.json last."""
        self.what_changed()
        files = [path for path in sorted(self.folder.rglob("*")) if path.is_file() and not path.is_symlink()]
        names = [path.relative_to(self.folder).as_posix() for path in files]
        others = [name for name in names if name not in (*GROWING, *WHOLE, METRICS)]
        for name in [*others, *(name for name in names if name == METRICS)]:
            with (self.folder / name).open("rb") as file:
                part = file.read(PART)
                self.post(Part(name, part, appended=False))
                while part := file.read(PART):
                    self.post(Part(name, part, appended=True))

    def _send_growth(self, name: str) -> None:
        path = self.folder / name
        if not path.exists() or path.stat().st_size <= self._offsets.get(name, 0):
            return
        with path.open("rb") as file:
            file.seek(self._offsets.get(name, 0))
            while part := file.read(PART):
                self._offsets[name] = file.tell()
                self.post(Part(name, part, appended=True))
