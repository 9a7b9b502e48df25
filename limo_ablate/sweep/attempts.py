"""A running attempt, what becomes of its trial when it ends, and the base models that trials need first.

A trial is ready once its base model is made, so that no slot waits for a lock while other trials could run.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from limo_ablate.analysis.results import METRICS, Results
from limo_ablate.core.artifacts import content_key
from limo_ablate.core.errors import EXIT_USER_ERROR
from limo_ablate.core.files import write_atomically
from limo_ablate.core.hardware import device_count
from limo_ablate.core.progress import PROGRESS, Progress, read_progress
from limo_ablate.sweep.budget_guard import BudgetGuard
from limo_ablate.sweep.ledger.queue import Queue, QueuedTrial
from limo_ablate.sweep.ledger.same_failures import reason_key
from limo_ablate.sweep.live import Board, Row, readable, rerun_command
from limo_ablate.sweep.machines import Machines
from limo_ablate.sweep.slots import Slot
from limo_ablate.sweep.worker import BROKEN, DISK_FULL, LOG, PREEMPTED, SERVER_DIED, Call, RunningCall
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.launch_config import LaunchConfig

BASES = "bases"
"""Folder of a study with a folder for each base model that its runners make."""
FAILED = "failed.json"
"""In a trial's folder: why it failed, its log, the command that reruns it; removed when it runs again."""
NO_FAULT = (PREEMPTED, DISK_FULL, BROKEN)
"""Exit codes that are not the trial's fault: it waits again, and the attempt does not count."""
KILLED = (-signal.SIGTERM, SERVER_DIED)
"""Exit codes treated likewise, up to `FORGIVEN` times: a daemon that watches over memory sends SIGTERM, and
may send it again."""
FORGIVEN = 3
"""How often this runner lets a trial wait again after one of those; from then on each is a failed attempt."""


@dataclass(slots=True)
class Base:
    """A base model, and how far this runner is with it."""

    key: str
    name: str
    config: TrialConfig
    """Configuration of the first trial that needs it."""
    state: Literal["missing", "making", "made", "failed"] = "missing"
    attempt: int = 1
    reason: str | None = None
    """Why the last attempt to make it failed."""


@dataclass(slots=True)
class Bases:
    """The base models that the study's trials have needed so far; each is made once, by a call of its own."""

    _known: dict[str, Base] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)
    """Trial id -> base key."""

    def find(self, trial: str, config: TrialConfig) -> Base | None:
        """The base model that the trial with this id needs; None when it need not be made."""
        if config.model.source == "hub":
            return None
        if trial not in self._keys:
            # the tokenizer made for `scratch` depends on the pool's text
            data = config.data if config.model.source == "scratch" else None
            key = content_key("prepare", 1, {"model": config.model, "data": data})
            self._known.setdefault(key, Base(key, f"{config.model.name}-{key[:6]}", config))
            self._keys[trial] = key
        return self._known[self._keys[trial]]

    def ready(self, trial: str, config: TrialConfig) -> bool:
        base = self.find(trial, config)
        return base is None or base.state == "made"

    def missing(self, trials: Iterable[tuple[str, TrialConfig]]) -> list[Base]:
        """The base models to make for these trials, (id, configuration), in their order."""
        needed = [base for trial, config in trials if (base := self.find(trial, config))]
        return list({base.key: base for base in needed if base.state == "missing"}.values())


@dataclass(slots=True)
class RunningAttempt:
    """A trial, or the making of a base model, that runs now: its slot, its process, and whether it hangs."""

    work: QueuedTrial | Base
    slot: Slot
    folder: Path
    """Folder of its log and its progress."""
    call: RunningCall
    ending: str | None = None
    """Why its runner ends it."""
    pruned: bool = False
    _last_seen: tuple[int, ...] = ()
    """Times of its progress and its log, when they were last looked at."""
    _changed_at: float = field(default_factory=time.monotonic)

    @classmethod
    def start(
        cls, machines: Machines, work: QueuedTrial | Base, call: Call, folder: Path, runner: str
    ) -> RunningAttempt:
        hardware = config_of(work).hardware
        (folder / PROGRESS).unlink(missing_ok=True)
        slot = machines.acquire(hardware)
        running = machines.start(call, hardware, slot, folder, f"{runner}/{key_of(work)}")
        return cls(work, slot, folder, running)

    @property
    def name(self) -> str:
        return self.work.trial.name if isinstance(self.work, QueuedTrial) else f"base model {self.work.name}"

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.call.started if self.call.started is not None else 0.0

    @property
    def log(self) -> Path:
        return self.folder / LOG

    @property
    def progress(self) -> Progress | None:
        return read_progress(self.folder)

    def row(self) -> Row:
        state = "ending" if self.ending else "running" if self.call.started is not None else "starting"
        spend = self.seconds * self.slot.devices
        return Row(self.name, state, self.slot.index, self.progress, spend, self.work.attempt - 1)

    def result(self) -> tuple[int, str | None]:
        """(exit code, reason of failure) once it has ended."""
        code, reason = self.call.result()
        return code, self.ending or reason

    def kill(self, reason: str) -> None:
        """Ends it at once: a hung process may ignore SIGTERM; its checkpoints are already on disk."""
        self.ending = reason
        self.call.terminate(signal.SIGKILL)

    def hangs(self, limit: float) -> bool:
        """Whether its progress and its log have not changed for `limit` seconds of this process's clock."""
        seen = tuple(_modified(self.folder / name) for name in (PROGRESS, LOG))
        now = time.monotonic()
        if seen != self._last_seen or self.call.started is None:
            self._last_seen, self._changed_at = seen, now
        return now - self._changed_at > limit


def config_of(work: QueuedTrial | Base) -> TrialConfig:
    return work.trial.config if isinstance(work, QueuedTrial) else work.config


def key_of(work: QueuedTrial | Base) -> str:
    return work.trial.id if isinstance(work, QueuedTrial) else work.key


@dataclass
class Outcomes:
    """Decides, when an attempt has ended, whether its trial is finished, waits for another attempt, or is
    given up.

    It records that in the ledger, on the board and in the trial's folder.
    """

    folder: Path
    """Folder of the study."""
    queue: Queue
    launch: LaunchConfig
    board: Board
    budget_guard: BudgetGuard
    given_up: int = field(default=0, init=False)
    _not_before: dict[str, tuple[QueuedTrial, float]] = field(default_factory=dict, init=False)
    """Trial id -> its attempt that failed, and when the next one may start."""
    _killed: Counter[str] = field(default_factory=Counter, init=False)
    """Trial id -> number of its attempts that ended with a code of `KILLED`."""

    def adopt(self, queued: QueuedTrial) -> bool:
        """Whether a result that counts is on disk already, of which the ledger did not know; records it."""
        if Results(self.folder).why_not(queued.trial) is not None:
            return False
        metrics = self.queue.finish(queued, 0.0, device_count(queued.trial.config.hardware))
        if metrics:
            self.board.finished(queued.trial, metrics, 0.0)
        return metrics is not None

    def begin(self, queued: QueuedTrial) -> Path:
        """Clears what an earlier attempt left; returns the trial's folder.

        A result that the ledger does not count, as it is stale, is moved to `stale/` in the study's folder.
        """
        folder = self.folder / "trials" / queued.trial.folder
        if (folder / METRICS).exists():
            aside = self.folder / "stale"
            aside.mkdir(exist_ok=True)
            folder.rename(aside / f"{folder.name}-{time.time_ns()}")
        (folder / FAILED).unlink(missing_ok=True)
        self._not_before.pop(queued.trial.id, None)
        return folder

    def is_due(self, queued: QueuedTrial) -> bool:
        """Whether the trial's next attempt need not wait any longer after a failure."""
        key = queued.trial.id
        return key not in self._not_before or self._not_before[key][1] <= time.monotonic()

    def waiting(self) -> Iterator[Row]:
        """The trials that wait for their next attempt."""
        queued_ids = {queued.trial.id for queued in self.queue.waiting}
        for queued, at in (pair for key, pair in self._not_before.items() if key in queued_ids):
            left = readable(max(0.0, at - time.monotonic()))
            yield Row(queued.trial.name, f"again in {left}", None, None, 0.0, queued.attempt)

    def record(self, running: RunningAttempt, queued: QueuedTrial, code: int, reason: str | None) -> None:
        """The attempt at `queued` has ended with this exit code."""
        seconds, devices = running.seconds, device_count(queued.trial.config.hardware)
        self.queue.ran_on(queued, running.call.machine)
        self.budget_guard.charge(queued.trial, seconds)
        self.board.spend(seconds * devices)
        if metrics := self.queue.finish(queued, seconds, devices):
            self.board.finished(queued.trial, metrics, seconds)
        elif running.pruned:
            self.queue.prune(queued, seconds, devices)
            self.board.ended(queued.trial, f"pruned after {readable(seconds)}")
        elif not running.ending and (code in NO_FAULT or (code in KILLED and self._forgive(queued))):
            self.queue.release(queued, seconds, devices)
            self.board.ended(queued.trial, f"waits again: {reason}")
        else:
            reason = reason or "it ended without writing metrics.json"
            again = _is_retriable(code) and queued.attempt < self.launch.attempts
            if again and queued.attempt > 1:
                again = not _is_repeated(code, self.queue.last_failure(queued.trial), reason)
            self.fail(queued, reason, running.log, seconds, devices, again=again)

    def _forgive(self, queued: QueuedTrial) -> bool:
        """Delays the next attempt of a trial that was killed; True if this one does not count as failed."""
        times = self._killed[queued.trial.id] = self._killed[queued.trial.id] + 1
        self._delay(queued, times)
        return times <= FORGIVEN

    def _delay(self, queued: QueuedTrial, times: int) -> None:
        """Lets the trial wait, twice as long after each of `times` failures."""
        pause = self.launch.backoff_seconds * 2 ** (times - 1)
        self._not_before[queued.trial.id] = queued, time.monotonic() + pause

    def fail(
        self, queued: QueuedTrial, reason: str, log: Path, seconds: float, devices: int, *, again: bool
    ) -> None:
        """Records a failed attempt; `again`: the trial is retried after a pause."""
        if again:
            self._delay(queued, queued.attempt)
        self.given_up += not again
        folder = self.folder / "trials" / queued.trial.folder
        folder.mkdir(parents=True, exist_ok=True)
        failure = {"reason": reason, "log": str(log), "command": rerun_command(queued.trial)}
        write_atomically(folder / FAILED, json.dumps(failure, indent=1) + "\n")
        self.queue.fail(queued, reason, log, seconds, devices, again=again)
        self.board.failed(queued.trial, queued.attempt, self.launch.attempts, reason, log, again=again)

    def give_back(self, running: RunningAttempt, queued: QueuedTrial) -> None:
        """For a runner that leaves: the trial is finished if its result is on disk, else it waits again."""
        seconds, devices = running.seconds, device_count(queued.trial.config.hardware)
        self.queue.ran_on(queued, running.call.machine)
        if not self.queue.finish(queued, seconds, devices):
            self.queue.release(queued, seconds, devices)

    def record_base(self, running: RunningAttempt, base: Base, code: int, reason: str | None) -> None:
        """The making of `base` has ended with this exit code."""
        (running.folder / PROGRESS).unlink(missing_ok=True)  # by which `status` sees that it is being made
        if code == 0:
            base.state = "made"
            self.board.say(f"base model {base.name} ready  {running.seconds:.1f} s")
        elif code in NO_FAULT or (
            _is_retriable(code)
            and base.attempt < self.launch.attempts
            and not _is_repeated(code, base.reason, reason or "")
        ):
            self.board.say(f"base model {base.name} FAILED, retrying: {reason}; log: {running.log}")
            base.state, base.attempt = "missing", base.attempt + (code not in NO_FAULT)
            base.reason = reason
        else:
            base.state, base.reason = "failed", reason


def _is_retriable(code: int) -> bool:
    """Another attempt would fail again for the same reason after a user's error."""
    return code != EXIT_USER_ERROR


def _is_repeated(code: int, before: str | None, reason: str) -> bool:
    """Whether an attempt ended by the same error as the one before it. A process that was killed, by
    whomever, proves nothing.
    """
    own = code > 0 and code not in KILLED and "killed by SIG" not in reason
    return own and before is not None and reason_key(before) == reason_key(reason)


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
