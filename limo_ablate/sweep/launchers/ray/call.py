"""An attempt on a node of a Ray cluster, as the sweep sees it: what arrives of it, and how it has ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from limo_ablate.analysis.results import METRICS
from limo_ablate.core.errors import UserError
from limo_ablate.core.files import write_atomically
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.sweep.launchers.ray.mail import Ended, Item, Part, Started
from limo_ablate.sweep.worker import BROKEN, FAILED, PREEMPTED, SERVER_DIED


class Owner(Protocol):
    def signal(self, call: RayCall, number: signal.Signals) -> None:
        """Has the attempt signalled on its node."""
        ...

    def settled(self, call: RayCall) -> None:
        """The attempt has ended, and its outcome is known."""
        ...


@dataclass
class RayCall:
    """A `limo_ablate.sweep.worker.RunningCall` on a node."""

    attempt: str
    folder: Path
    """The trial's folder here."""
    hardware: HardwareConfig
    machines: Owner
    task: Any = None
    """Ray's reference to what the task returns."""
    started: float | None = None
    node: Started | None = None
    _ended: Ended | None = None
    _metrics: bytes = b""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._sentinel, self._sender = os.pipe()

    @property
    def sentinel(self) -> int:
        return self._sentinel

    @property
    def machine(self) -> str | None:
        return self.node.host if self.node else None

    @property
    def running(self) -> bool:
        return self._ended is None

    def result(self) -> tuple[int, str | None]:
        assert self._ended is not None
        os.close(self._sentinel)
        self.machines.settled(self)
        return self._ended.code, self._ended.reason

    def terminate(self, number: signal.Signals) -> None:
        if self.running:
            self.machines.signal(self, number)

    def receive(self, item: Item) -> None:
        """Something has arrived from the task."""
        if isinstance(item, Started):
            self.started, self.node = time.monotonic(), item
        elif isinstance(item, Ended):
            if self._metrics:
                write_part(self.folder, Part(METRICS, self._metrics, appended=False))
            self.end(item)
        elif item.path == METRICS:  # appears whole, and last
            self._metrics = self._metrics + item.data if item.appended else item.data
        else:
            write_part(self.folder, item)

    def end(self, ended: Ended) -> None:
        """It has ended, in this way unless it had ended already."""
        with self._lock:
            if self._ended is None:
                self._ended = ended
                os.close(self._sender)  # by which its sentinel is ready


def write_part(folder: Path, part: Part) -> None:
    """Writes a part of a file into `folder`. Raises UserError for one that is not in it."""
    path = PurePosixPath(part.path)
    target = folder / path
    if path.is_absolute() or ".." in path.parts or not target.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{part.path!r}: no file of a trial's folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | (os.O_APPEND if part.appended else 0)
    if not part.appended:
        write_atomically(target, part.data)
        return
    with os.fdopen(os.open(target, flags, 0o666), "ab") as file:
        file.write(part.data)


def outcome(error: BaseException, host: str | None) -> Ended:
    """How an attempt has ended whose task could not say so itself; `host`: its node's, if it had started.

    A task that fails before it starts would fail so for any trial: its node lacks limo-ablate, say.
    """
    from ray import exceptions

    if isinstance(error, exceptions.OutOfMemoryError):
        return Ended(FAILED, f"Ray ended it, as its node had no memory left: {said(error)}")
    if isinstance(error, exceptions.WorkerCrashedError):
        return Ended(SERVER_DIED, "its Ray worker was killed")
    if isinstance(error, exceptions.RayTaskError | exceptions.RaySystemError):
        return Ended(FAILED if host else BROKEN, said(error))
    if isinstance(error, exceptions.TaskCancelledError):
        return Ended(PREEMPTED, "cancelled before it started, or as it did not end")
    return Ended(PREEMPTED, f"its node is gone: {host or 'before it started'} ({type(error).__name__})")


def said(error: BaseException) -> str:
    """What Ray says, on one line: the last of its lines is the error that a task raised."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"[:300]
