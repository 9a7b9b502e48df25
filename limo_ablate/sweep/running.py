"""A job that runs: its slot, its process, how far it says it is, and since when it stands still."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from limo_ablate.core.progress import PROGRESS, PROGRESS_VARIABLE, Progress, read_progress
from limo_ablate.sweep.bases import Base
from limo_ablate.sweep.ledger.queue import Todo
from limo_ablate.sweep.live import Row
from limo_ablate.sweep.processes import JOB_MARK, end
from limo_ablate.sweep.slots import Slot
from limo_ablate.sweep.worker import Job, Worker

LOG = "trial.log"


@dataclass(slots=True)
class Running:
    what: Todo | Base
    slot: Slot
    folder: Path
    """Of its log and its progress."""
    worker: Worker
    mark: str
    """In the environment of all that it starts."""
    started: float = field(default_factory=time.monotonic)
    ending: str | None = None
    """Why its runner ends it."""
    pruned: bool = False
    _seen: tuple[int, ...] = ()
    _moved: float = field(default_factory=time.monotonic)

    @classmethod
    def start(cls, what: Todo | Base, job: Job, slot: Slot, folder: Path, mark: str) -> Running:
        config = what.trial.config if isinstance(what, Todo) else what.config
        (folder / PROGRESS).unlink(missing_ok=True)
        own = {PROGRESS_VARIABLE: str((folder / PROGRESS).absolute()), JOB_MARK: mark}
        worker = Worker(job, {**slot.environment(config.hardware), **own}, folder / LOG)
        return cls(what, slot, folder, worker, mark)

    @property
    def name(self) -> str:
        return self.what.trial.name if isinstance(self.what, Todo) else f"base model {self.what.name}"

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def log(self) -> Path:
        return self.folder / LOG

    def row(self) -> Row:
        state = "ending" if self.ending else "running"
        spend = self.seconds * self.slot.devices
        return Row(
            self.name, state, self.slot.index, read_progress(self.folder), spend, self.what.attempt - 1
        )

    def result(self) -> tuple[int, str | None]:
        """(exit code, reason of failure) once it has ended; of one that failed nothing goes on."""
        code, reason = self.worker.result()
        if code:
            end(self.mark, variable=JOB_MARK, grace=0)
        return code, self.ending or reason

    def kill(self, reason: str) -> None:
        """Ends it now: one that stands still may not heed SIGTERM, nor need it: its checkpoints are there."""
        self.ending = reason
        self.worker.terminate(signal.SIGKILL)

    def stands_still(self, limit: float) -> bool:
        """Whether its progress and its log have not changed for `limit` seconds of this process's clock."""
        seen = tuple(_state(self.folder / name) for name in (PROGRESS, LOG))
        now = time.monotonic()
        if seen != self._seen:
            self._seen, self._moved = seen, now
        return now - self._moved > limit

    def told(self) -> Progress | None:
        return read_progress(self.folder)


def _state(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
