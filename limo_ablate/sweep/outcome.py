"""What becomes of a trial whose attempt has ended: a result, another attempt after a while, or given up."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from limo_ablate.core.errors import EXIT_USER_ERROR
from limo_ablate.core.hardware import device_count as devices_of
from limo_ablate.sweep.bases import Base
from limo_ablate.sweep.budget_guard import Purse
from limo_ablate.sweep.ledger.queue import Queue, Todo
from limo_ablate.sweep.live import Board, Row, readable, rerun_command
from limo_ablate.sweep.running import Running
from limo_ablate.sweep.worker import BROKEN, DISK_FULL, PREEMPTED, SERVER_DIED
from limo_ablate.trial.config import LaunchConfig

FAILED = "failed.json"
"""In a trial's folder: why it failed, its log, the command that reruns it; gone once it runs again."""
NO_FAULT = (PREEMPTED, DISK_FULL, BROKEN)
"""Ends that are not the trial's fault: it waits again, and no attempt is counted."""
KILLED = (-signal.SIGTERM, SERVER_DIED)
"""Ends that are so too, unless they come again and again: a daemon that watches over memory sends SIGTERM."""
FORGIVEN = 3
"""Times that a trial waits again after one of those, in this runner; then each is a failed attempt."""


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
    """Trial -> its attempt that failed, and when the next one may start."""
    _killed: Counter[str] = field(default_factory=Counter, init=False)
    """Trial -> ends as of KILLED."""

    def begin(self, todo: Todo) -> Path:
        """A trial is about to start; returns its folder."""
        folder = self.folder / "trials" / todo.trial.folder
        (folder / FAILED).unlink(missing_ok=True)
        self._not_before.pop(todo.trial.id, None)
        return folder

    def due(self, todo: Todo) -> bool:
        """Whether the trial need not wait, after a failure, for its next attempt."""
        return todo.trial.id not in self._not_before or self._not_before[todo.trial.id][1] <= time.monotonic()

    def waiting(self) -> Iterator[Row]:
        """Trials that wait for their next attempt."""
        there = {todo.trial.id for todo in self.queue.todo}
        for todo, at in (pair for key, pair in self._not_before.items() if key in there):
            left = readable(max(0.0, at - time.monotonic()))
            yield Row(todo.trial.name, f"again in {left}", None, None, 0.0, todo.attempt)

    def record(self, running: Running, todo: Todo, code: int, reason: str | None) -> None:
        """The trial of `todo` has ended with this exit code."""
        seconds, devices = running.seconds, devices_of(todo.trial.config.hardware)
        self.purse.charge(todo.trial, seconds)
        self.board.spend(seconds * devices)
        if metrics := self.queue.finish(todo, seconds, devices):
            self.board.finished(todo.trial, metrics, seconds)
        elif running.pruned:
            self.queue.prune(todo, seconds, devices)
            self.board.ended(todo.trial, f"pruned after {readable(seconds)}")
        elif not running.ending and (code in NO_FAULT or (code in KILLED and self._forgives(todo))):
            self.queue.release(todo, seconds, devices)
            self.board.ended(todo.trial, f"waits again: {reason}")
        else:
            again = _retriable(code) and todo.attempt < self.launch.attempts
            reason = reason or "it ended without writing metrics.json"
            self.fail(todo, reason, running.log, seconds, devices, again=again)

    def _forgives(self, todo: Todo) -> bool:
        """Its trial was killed: whether it may try again after a while, and no attempt is counted."""
        times = self._killed[todo.trial.id] = self._killed[todo.trial.id] + 1
        self._wait(todo, times)
        return times <= FORGIVEN

    def _wait(self, todo: Todo, times: int) -> None:
        """Lets the trial wait after what has happened to it so many times."""
        pause = self.launch.backoff_seconds * 2 ** (times - 1)
        self._not_before[todo.trial.id] = todo, time.monotonic() + pause

    def fail(self, todo: Todo, reason: str, log: Path, seconds: float, devices: int, *, again: bool) -> None:
        """An attempt has failed; `again`: another one follows, after a while."""
        if again:
            self._wait(todo, todo.attempt)
        self.given_up += not again
        folder = self.folder / "trials" / todo.trial.folder
        folder.mkdir(parents=True, exist_ok=True)
        failure = {"reason": reason, "log": str(log), "command": rerun_command(todo.trial)}
        (folder / FAILED).write_text(json.dumps(failure, indent=1) + "\n")
        self.queue.fail(todo, reason, log, seconds, devices, again=again)
        self.board.failed(todo.trial, todo.attempt, self.launch.attempts, reason, log, again=again)

    def give_back(self, running: Running, todo: Todo) -> None:
        """The runner leaves: a result that made it to the disk counts, else the trial waits again."""
        seconds, devices = running.seconds, devices_of(todo.trial.config.hardware)
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
