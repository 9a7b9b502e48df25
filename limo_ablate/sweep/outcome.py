"""What becomes of a cell once its trial has ended: a result, another attempt after a while, or left alone."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from limo_ablate.config import LaunchConfig
from limo_ablate.errors import EXIT_USER_ERROR
from limo_ablate.ledger.queue import Queue, Todo
from limo_ablate.plan.budget import devices as devices_of
from limo_ablate.sweep.bases import Base
from limo_ablate.sweep.live import Board, Row, readable, rerun_command
from limo_ablate.sweep.purse import Purse
from limo_ablate.sweep.running import Running
from limo_ablate.sweep.worker import BROKEN, DISK_FULL, PREEMPTED

FAILED = "failed.json"
"""In a trial's folder: why it failed, its log, the command that reruns it; gone once it runs again."""
NO_FAULT = (PREEMPTED, -signal.SIGTERM, DISK_FULL, BROKEN)
"""Ends that are not the cell's fault: it waits again, and no attempt is counted."""


@dataclass
class Outcomes:
    folder: Path
    """The study's."""
    queue: Queue
    launch: LaunchConfig
    board: Board
    purse: Purse
    given_up: int = field(default=0, init=False)
    _not_before: dict[str, tuple[Todo, float]] = field(default_factory=dict, init=False)
    """Cell -> its attempt that failed, and when the next one may start."""

    def begin(self, todo: Todo) -> Path:
        """A trial is about to start; returns its folder."""
        folder = self.folder / "trials" / todo.cell.folder
        (folder / FAILED).unlink(missing_ok=True)
        self._not_before.pop(todo.cell.id, None)
        return folder

    def due(self, todo: Todo) -> bool:
        """Whether the cell need not wait, after a failure, for its next attempt."""
        return todo.cell.id not in self._not_before or self._not_before[todo.cell.id][1] <= time.monotonic()

    def waiting(self) -> Iterator[Row]:
        """Cells that wait for their next attempt."""
        for todo, at in self._not_before.values():
            left = readable(max(0.0, at - time.monotonic()))
            yield Row(todo.cell.name, f"again in {left}", None, None, 0.0, todo.attempt)

    def record(self, running: Running, todo: Todo, code: int, reason: str | None) -> None:
        """The trial of `todo` has ended with this exit code."""
        seconds, devices = running.seconds, devices_of(todo.cell.config.hardware)
        self.purse.charge(todo.cell, seconds)
        self.board.spend(seconds * devices)
        if metrics := self.queue.finish(todo, seconds, devices):
            self.board.finished(todo.cell, metrics, seconds)
        elif running.pruned:
            self.queue.prune(todo, seconds, devices)
            self.board.ended(todo.cell, f"pruned after {readable(seconds)}")
        elif code in NO_FAULT and not running.ending:
            self.queue.release(todo, seconds, devices)
            self.board.ended(todo.cell, f"waits again: {reason}")
        else:
            again = _retriable(code) and todo.attempt < self.launch.attempts
            reason = reason or "it ended without writing metrics.json"
            self.fail(todo, reason, running.log, seconds, devices, again=again)

    def fail(self, todo: Todo, reason: str, log: Path, seconds: float, devices: int, *, again: bool) -> None:
        """An attempt has failed; `again`: another one follows, after a while."""
        if again:
            pause = self.launch.backoff_seconds * 2 ** (todo.attempt - 1)
            self._not_before[todo.cell.id] = todo, time.monotonic() + pause
        self.given_up += not again
        folder = self.folder / "trials" / todo.cell.folder
        folder.mkdir(parents=True, exist_ok=True)
        failure = {"reason": reason, "log": str(log), "command": rerun_command(todo.cell)}
        (folder / FAILED).write_text(json.dumps(failure, indent=1) + "\n")
        self.queue.fail(todo, reason, log, seconds, devices, again=again)
        self.board.failed(todo.cell, todo.attempt, self.launch.attempts, reason, log, again=again)

    def give_back(self, running: Running, todo: Todo) -> None:
        """The runner leaves: a result that made it to the disk counts, else the cell waits again."""
        seconds, devices = running.seconds, devices_of(todo.cell.config.hardware)
        if not self.queue.finish(todo, seconds, devices):
            self.queue.release(todo, seconds, devices)

    def record_base(self, running: Running, base: Base, code: int, reason: str | None) -> None:
        """The job that makes `base` has ended; its state says how it goes on."""
        if code == 0:
            base.state = "made"
            self.board.say(f"base model {base.name} ready  {running.seconds:.1f} s")
        elif code in NO_FAULT or (_retriable(code) and base.attempt < self.launch.attempts):
            self.board.say(f"base model {base.name} FAILED, trying again: {reason}; log: {running.log}")
            base.state, base.attempt = "missing", base.attempt + (code not in NO_FAULT)
        else:
            base.state, base.reason = "failed", reason


def _retriable(code: int) -> bool:
    """A user's error comes again however often it is tried."""
    return code != EXIT_USER_ERROR
