"""The trials that wait, as one of several runners sees them; a refresh brings the ledger up to date.

    queue = Queue(ledger, trials, folder, lease.id, attempts=3)
    queue.refresh()                                  # at the start and every few seconds
    for queued in list(queue.waiting):
        if queue.claim(queued):
            ...                                      # run it, then one of finish, fail, prune, release

A refresh ends what dead runners of this machine left running, adopts results that they left on disk, fails
their other rows, and adds rows so that enough trials wait. One runner at a time does this, under a lock of
the study's folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial

from limo_ablate.core.errors import UserError
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.study.search.search import rows_of
from limo_ablate.sweep.ledger.cleanup import Cleanup
from limo_ablate.sweep.ledger.declaration import digest_trials
from limo_ablate.sweep.ledger.journal import PATIENCE
from limo_ablate.sweep.ledger.lease import Watch
from limo_ablate.sweep.ledger.ledger import FINAL, History, Ledger, histories
from limo_ablate.sweep.ledger.parameters import Space, space
from limo_ablate.sweep.ledger.same_failures import SameFailures, clear_stop

if TYPE_CHECKING:
    from limo_ablate.study.search.search import Search
    from limo_ablate.sweep.looks import Looks

WINDOW = 128
"""Rows that wait at a time: more than all runners claim between two refreshes, few to write at the start."""
ROWS_PER_RUNNER = 8
"""The same for each of many runners: with fewer rows, they would contend for the same ones all the time."""
LOST_CLAIMS = 4
"""Claims lost in a row after which reading what still waits costs less than trying."""
PAUSE, LONGEST_PAUSE = 0.25, 4.0
"""Seconds between attempts to refresh while another runner is about to add rows; doubled each time."""
SHORT_PAUSE = 0.02
"""The same for a lock that is held for milliseconds."""
LOCK = "queue.lock"
_NO_ROW = -1


@dataclass(frozen=True, slots=True)
class QueuedTrial:
    """A trial that waits in the ledger for an attempt."""

    order: int
    """Its position in the study."""
    trial: PlannedTrial
    row_id: int
    """Id of its row in the ledger."""
    attempt: int


class Queue:
    """The study's trials for one runner. `waiting` and all counts are as of the last refresh."""

    def __init__(
        self,
        ledger: Ledger,
        trials: Sequence[PlannedTrial],
        folder: Path,
        runner: str,
        *,
        attempts: int,
        order_key: Callable[[PlannedTrial], float] | None = None,
        searches: Sequence[Search] = (),
        slots: int = 1,
        reopen: bool = False,
        window: int = WINDOW,
        watch: Watch | None = None,
        same_failures: SameFailures | None = None,
        looks: Looks | None = None,
    ) -> None:
        """`trials`: those known beforehand; `runner`: id of its lease.

        Of two trials with the same seed, the one with the smaller `order_key` runs first (say, its negated
        forecast). `searches` propose new trials while fewer than `slots` wait. `reopen`, for a new `sweep`:
        retry trials that were given up before `attempts` failures. `same_failures` may stop the study.
        `looks` of a sequential study release trials, else all run.
        """
        self.ledger, self.folder, self.runner, self.attempts = ledger, folder, runner, attempts
        self.trials = list(trials)
        """All trials known so far; those that searches have proposed are at the end."""
        self.total = len(trials) + sum(search.n for search in searches)
        """Number of trials that there will be, at most."""
        self.waiting: list[QueuedTrial] = []
        """The trials that this runner may claim, in the order in which it should."""
        self.done = self.elsewhere = self.missing = 0
        """Numbers of trials: finished or pruned; running in other runners; without a row yet, including those
        that are not proposed yet."""
        self.given_up: list[tuple[PlannedTrial, str]] = []
        """Trials that failed too often, with the last reason."""
        self.outdated = False
        """Whether the study has been declared anew with other trials: this runner gets no more and should
        leave."""
        self.same_failures = same_failures or SameFailures(folder)
        self._fixed, self._searches, self._looks = list(trials), list(searches), looks
        self._order_key, self._slots, self._window = order_key, slots, window
        seeds = dict.fromkeys([*(trial.seed for trial in trials), *(search.seed for search in searches)])
        self._seeds = {seed: position for position, seed in enumerate(seeds)}
        by_name = {search.name: search for search in searches}
        self._cleanup = Cleanup(ledger, watch or Watch(folder), folder / "trials", by_name)
        self._digest, self._reopen = digest_trials(trials), reopen
        self._reopened: dict[str, int] = {}
        """Trial id -> number of its failures when this sweep began."""
        self._lost_claims = 0
        """Claims in a row in which other runners were faster."""
        self._order_keys: dict[str, float] = {}
        """Trial id -> its order key, computed once: ten thousand forecasts take a while."""
        self._space: Space | None = None

    @property
    def closed(self) -> bool:
        """Whether this runner gets no more trials, and should leave."""
        return self.outdated or self.same_failures.stop is not None

    def refresh(self) -> None:
        """Brings the ledger up to date with the disk and the live runners, and `waiting` with the ledger.

        While another runner does this, this one only reads, unless it would have nothing to do then. Raises
        UserError when the lock is held for longer than the patience.
        """
        dead = self._cleanup.end_dead_runners(self.ledger.rows(), me=self.runner)
        deadline, pause = time.monotonic() + PATIENCE, PAUSE
        while not (self._refresh_ledger(dead) or self._read_ledger()):
            if time.monotonic() > deadline:
                raise UserError(
                    f"{self.folder / LOCK}: held for {PATIENCE:g} s; is another runner suspended?"
                )
            self.ledger.pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        self._put_own_share_first()

    def _refresh_ledger(self, dead: set[str]) -> bool:
        """The whole refresh; False when another runner is doing it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if (lock := _try_lock(self.folder)) is None:
            return False
        with lock:
            self._update(dead)
            if self._looks and not self.closed and self.done == self.total and self._looks.take():
                self._update(set())
            if self._searches and not self.closed:
                self._propose(self.ledger.rows())
            for runner in dead:
                self._cleanup.watch.remove(runner)
        return True

    def _read_ledger(self) -> bool:
        """Reads what waits; False when nothing waits yet, but something will."""
        if self._reopen:  # a new sweep has to drop rows and to reopen trials first
            return False
        rows = self.ledger.rows()
        by_trial = histories(rows)
        self._learn_trials(rows, by_trial)
        self._sort(by_trial)
        self._check_outdated()
        if self.closed:
            self.waiting.clear()
        return bool(self.waiting or not self.missing or self.closed)

    def claim(self, queued: QueuedTrial) -> bool:
        """Claims the trial; False when another runner was faster, or it no longer waits."""
        if queued not in self.waiting:
            return False
        self.waiting.remove(queued)
        claimed = self.ledger.claim(queued.row_id, self.runner)
        self._lost_claims = 0 if claimed else self._lost_claims + 1
        if self._lost_claims >= LOST_CLAIMS:
            self._lost_claims = 0
            still = {history.waiting for history in self.ledger.histories().values()}
            self.waiting = [queued for queued in self.waiting if queued.row_id in still]
            self._put_own_share_first()
        return claimed

    def ran_on(self, queued: QueuedTrial, machine: str | None) -> None:
        """Notes the machine of an attempt that has ended, None for this runner's; to be called before it is
        recorded."""
        if machine is not None:
            self.ledger.ran_on(queued.row_id, machine)

    def release(self, queued: QueuedTrial, seconds: float = 0.0, devices: int = 1) -> None:
        """Gives the trial back after `seconds` on `devices` devices; any runner may claim it."""
        self.ledger.release(queued.row_id, seconds, devices)

    def finish(self, queued: QueuedTrial, seconds: float, devices: int) -> dict[str, Any] | None:
        """Records the trial's result after `seconds` on `devices` devices, and returns it; None if none is on
        disk."""
        metrics = self._cleanup.adopt_result(queued.trial, queued.row_id, seconds=seconds, devices=devices)
        self.done += metrics is not None
        return metrics

    def prune(self, queued: QueuedTrial, seconds: float, devices: int, **result: Any) -> None:
        """Records that a pruner has ended the trial; `result`: what else to keep."""
        self.ledger.prune(queued.row_id, seconds=seconds, devices=devices, **result)
        self.done += 1

    def fail(
        self, queued: QueuedTrial, reason: str, log: Path, seconds: float, devices: int, *, again: bool
    ) -> None:
        """Records a failed attempt; with `again` the trial waits for another one, else it is given up."""
        result = {"log": str(log), "seconds": seconds, "devices": devices} | ({} if again else {FINAL: True})
        with queue_lock(self.folder, self.ledger.pause), self.ledger.transaction():
            mine = self.ledger.fail(queued.row_id, reason, **result)
            if mine and again:
                self._add(replace(queued, attempt=queued.attempt + 1))
            elif mine:
                self.given_up.append((queued.trial, reason))

    def last_failure(self, trial: PlannedTrial) -> str | None:
        """Reason of the trial's last failure, in whatever runner; reads the ledger again."""
        history = self.ledger.histories().get(trial.id)
        return history.failures[-1] if history and history.failures else None

    def _update(self, dead: set[str]) -> None:
        with self.ledger.transaction():
            rows = self.ledger.rows()
            by_trial = histories(rows)
            self._check_outdated()
            living = set(self._cleanup.watch.known()) - dead - {self.runner}
            trials = self._learn_trials(rows, by_trial)
            for key, history in by_trial.items():
                trial = trials.get(key)
                if trial or not self.outdated:
                    self._cleanup.settle(trial, history, dead, living)
            without_row = self._sort(by_trial)
            if self.closed:
                self.waiting.clear()
            else:
                self._add_rows(without_row)

    def _put_own_share_first(self) -> None:
        """Each of k runners begins with its own k-th part of what waits, to avoid contention for the same
        row."""
        runners = self._cleanup.watch.known()
        if self.runner in runners:
            index, step = runners.index(self.runner), len(runners)
            own = self.waiting[index::step]
            own_ids = {queued.row_id for queued in own}
            self.waiting = own + [queued for queued in self.waiting if queued.row_id not in own_ids]

    def _check_outdated(self) -> None:
        self.outdated = self.ledger.declared() not in (self._digest, None)

    def _learn_trials(
        self, rows: Sequence[FrozenTrial], by_trial: dict[str, History]
    ) -> dict[str, PlannedTrial]:
        """Adds what was proposed; the first time, notes what had been given up. Returns the trials by id."""
        if self._looks:
            if len(released := self._looks.released()) != len(self._fixed):
                self._fixed, self._space = released, None  # the space has to include the new seeds
            self.total = len(self._fixed) + sum(search.n for search in self._searches)
        self.trials = self._fixed.copy()
        if self._searches:
            from limo_ablate.study.search.propose import proposed_trials

            for search in self._searches:
                self.trials += proposed_trials(search, rows_of(search, rows))
        if self._reopen:
            self._reopened = {key: len(h.failures) for key, h in by_trial.items() if h.final}
            self._reopen = False
        return {trial.id: trial for trial in self.trials}

    def _sort(self, by_trial: dict[str, History]) -> list[QueuedTrial]:
        """Counts the trials by what happened to them; returns those that need a row, in order."""
        self.waiting, self.given_up, without_row = [], [], []
        self.done = self.elsewhere = 0
        for order, trial in enumerate(self.trials):
            history = by_trial.get(trial.id) or History(trial.name)
            queued = QueuedTrial(order, trial, _NO_ROW, len(history.failures) + 1)
            if history.done or history.pruned:
                self.done += 1
            elif history.running is not None:
                self.elsewhere += history.runner != self.runner
            elif history.waiting is not None:
                self.waiting.append(replace(queued, row_id=history.waiting))
            elif self._is_given_up(trial, history):
                self.given_up.append((trial, history.failures[-1]))
            else:
                without_row.append(queued)
        self.waiting.sort(key=self._sort_key)
        self.same_failures.update(by_trial)
        proposed = len(self.trials) - len(self._fixed)
        self.missing = len(without_row) + self.total - len(self._fixed) - proposed
        return sorted(without_row, key=self._sort_key)

    def _is_given_up(self, trial: PlannedTrial, history: History) -> bool:
        failures = len(history.failures)
        return failures >= self.attempts or (history.final and self._reopened.get(trial.id) != failures)

    def _sort_key(self, queued: QueuedTrial) -> tuple[bool, int, float, int]:
        """First attempts before others and the first seed before others, so that whole grids come first."""
        if (key := self._order_keys.get(queued.trial.id)) is None:
            key = self._order_keys[queued.trial.id] = (
                self._order_key(queued.trial) if self._order_key else 0.0
            )
        return queued.attempt > 1, self._seeds.get(queued.trial.seed, 0), key, queued.order

    def _add_rows(self, without_row: Sequence[QueuedTrial]) -> None:
        """Adds rows until as many trials wait as the window allows."""
        window = max(self._window, ROWS_PER_RUNNER * len(self._cleanup.watch.known()))
        room = max(0, window - len(self.waiting))
        for queued in without_row[:room]:
            self._add(queued)
        self.missing -= len(without_row[:room])
        self.waiting.sort(key=self._sort_key)

    def _propose(self, rows: Sequence[FrozenTrial]) -> None:
        """Gets trials from the searches while fewer than `slots` wait: evenly, from those with the fewest
        first."""
        from limo_ablate.study.search.propose import propose

        room = self._slots - len(self.waiting)
        open_searches = [(search, rows_of(search, rows)) for search in self._searches]
        open_searches = [(search, own) for search, own in open_searches if search.remaining(own) > 0]
        open_searches.sort(key=lambda pair: (self._seeds.get(pair[0].seed, 0), len(pair[1])))
        for index, (search, own) in enumerate(open_searches):
            if room <= 0:
                return
            new = propose(search, own, -(-room // (len(open_searches) - index)))
            self._space, first = None, len(self.trials)  # the space has to include the new levels
            self.trials += new
            with self.ledger.transaction():
                for order, trial in enumerate(new, start=first):
                    self._add(QueuedTrial(order, trial, _NO_ROW, 1))
            room -= len(new)
            self.missing -= len(new)

    def _add(self, queued: QueuedTrial) -> None:
        if self._space is None:
            self._space = space(self.ledger.rows(), self.trials, grows=self.ledger.grows)
        row_id = self.ledger.add(queued.trial, queued.attempt, self._space)
        self.waiting.append(replace(queued, row_id=row_id))


@contextmanager
def queue_lock(
    folder: Path, pause: Callable[[float], None] = time.sleep, patience: float = PATIENCE
) -> Iterator[None]:
    """Held by the one runner that changes which rows there are; `pause` waits between tries.

    Raises UserError after `patience` seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    while (lock := _try_lock(folder)) is None:
        if time.monotonic() > deadline:
            raise UserError(f"{folder / LOCK}: held for {patience:g} s; is another runner suspended?")
        pause(SHORT_PAUSE)
    with lock:
        yield


def _try_lock(folder: Path) -> AbstractContextManager[object] | None:
    """The lock; None while another runner holds it."""
    try:
        return FileLock(folder / LOCK).acquire(timeout=0)
    except Timeout:
        return None


def retry(ledger: Ledger, trials: Sequence[PlannedTrial], folder: Path) -> list[PlannedTrial]:
    """Gives new attempts to those of the trials that failed and no longer wait; returns them.

    A study that many equal failures have stopped goes on.
    """
    clear_stop(folder)
    with queue_lock(folder), ledger.transaction():
        rows = ledger.rows()
        by_trial = histories(rows)
        stuck = [trial for trial in trials if (history := by_trial.get(trial.id)) and _is_stuck(history)]
        levels = space(rows, trials, grows=ledger.grows)
        for trial in stuck:
            ledger.add(trial, 1, levels, retry=True)
    return stuck


def _is_stuck(history: History) -> bool:
    ended = history.done or history.pruned or history.waiting is not None or history.running is not None
    return bool(history.failures) and not ended
