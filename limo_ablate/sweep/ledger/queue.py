"""What is left to do, as one of several runners sees it: the ledger in line with the disk and with who lives.

    queue = Queue(ledger, trials, folder, lease.id, attempts=3)
    queue.refresh()                                  # at the start and every few seconds
    for todo in list(queue.todo):
        if queue.claim(todo):
            ...                                      # run it, then one of finish, fail, prune, release

A refresh ends what dead runners of this machine left running, adopts results that they left on disk, fails
their other rows, and sees to it that enough trials wait. One runner at a time does so, under a lock of the
study's folder.
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
from limo_ablate.sweep.ledger.declared import listed
from limo_ablate.sweep.ledger.journal import PATIENCE
from limo_ablate.sweep.ledger.lease import Watch
from limo_ablate.sweep.ledger.ledger import FINAL, History, Ledger, histories
from limo_ablate.sweep.ledger.parameters import Space, space
from limo_ablate.sweep.ledger.settle import Settler, read_metrics

if TYPE_CHECKING:
    from limo_ablate.study.search.search import Search

__all__ = ["Queue", "Todo", "read_metrics", "retry"]

WINDOW = 128
"""Rows that wait at a time: more than all runners claim between two refreshes, few to write at a start."""
PER_RUNNER = 8
"""The same for each of many runners: with fewer they try for the same rows all the time."""
STALE = 4
"""Claims lost in a row, after which a look at what still waits costs less than trying."""
PAUSE, LONGEST_PAUSE = 0.25, 4.0
"""Seconds between two looks while another runner is about to add rows; each twice as long as the last."""
SHORT_PAUSE = 0.02
"""The same for what is held for milliseconds."""
LOCK = "queue.lock"
_NO_ROW = -1


@dataclass(frozen=True, slots=True)
class Todo:
    """A trial that waits in the ledger."""

    order: int
    """Its place in the study."""
    trial: PlannedTrial
    row_id: int
    """Its row's id in the ledger."""
    attempt: int


class Queue:
    """The study's trials for one runner; `todo` and all that is counted are as of the last refresh."""

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
    ) -> None:
        """`trials`: those known beforehand; `runner`: its lease's id.

        Of two trials with the same seed the one with the smaller `order_key` runs first (say, its negated
        forecast). `searches` propose new trials while fewer than `slots` wait. `reopen`, for a new `sweep`:
        retry trials that were given up before `attempts` failures.
        """
        self.ledger, self.folder, self.runner, self.attempts = ledger, folder, runner, attempts
        self.trials = list(trials)
        """All trials known so far; those that searches proposed stand at the end."""
        self.total = len(trials) + sum(search.n for search in searches)
        """Trials there will be, at most."""
        self.todo: list[Todo] = []
        """What this runner may claim, in the order in which it should."""
        self.done = self.elsewhere = self.missing = 0
        """Trials that are finished or pruned; that run in other runners; that have no row yet, or will be
        proposed."""
        self.given_up: list[tuple[PlannedTrial, str]] = []
        """Trials that failed too often, with the last reason."""
        self.outdated = False
        """The study has been declared anew with other trials: this runner gets no more, and should leave."""
        self._fixed, self._searches = list(trials), list(searches)
        self._order_key, self._slots, self._window = order_key, slots, window
        seeds = dict.fromkeys([*(trial.seed for trial in trials), *(search.seed for search in searches)])
        self._seeds = {seed: place for place, seed in enumerate(seeds)}
        self._settler = Settler(
            ledger, watch or Watch(folder), folder / "trials", {search.name: search for search in searches}
        )
        self._listed, self._reopen = listed(trials), reopen
        self._reopened: dict[str, int] = {}
        """Trial -> failures it had when this sweep began."""
        self._lost = 0
        """Claims, in a row, in which others were faster."""
        self._keys: dict[str, float] = {}
        """Trial -> its order key, asked for once: ten thousand forecasts take a while."""
        self._space: Space | None = None

    def refresh(self) -> None:
        """Brings the ledger in line with the disk and the living, and `todo` in line with the ledger.

        While another runner does so, this one only reads, unless it would have nothing to do then. Raises
        UserError when that takes longer than the patience.
        """
        dead = self._settler.end_dead(self.ledger.rows(), but=self.runner)
        deadline, pause = time.monotonic() + PATIENCE, PAUSE
        while not (self._tend(dead) or self._read()):
            if time.monotonic() > deadline:
                raise UserError(
                    f"{self.folder / LOCK}: held for {PATIENCE:g} s; is another runner suspended?"
                )
            self.ledger.pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        self._spread()

    def _tend(self, dead: set[str]) -> bool:
        """The whole refresh; False when another runner is at it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if (held := _taken(self.folder)) is None:
            return False
        with held:
            self._update(dead)
            if self._searches and not self.outdated:
                self._propose(self.ledger.rows())
            for runner in dead:
                self._settler.watch.bury(runner)
        return True

    def _read(self) -> bool:
        """Sees what there is to do; False when there is nothing yet, but will be."""
        if self._reopen:  # a new sweep has to drop and to reopen first
            return False
        rows = self.ledger.rows()
        found = histories(rows)
        self._know(rows, found)
        self._sort(found)
        if self._is_outdated():
            self.todo.clear()
        return bool(self.todo or not self.missing or self.outdated)

    def claim(self, todo: Todo) -> bool:
        """Takes the trial; False when another runner was faster, or `todo` has it no more."""
        if todo not in self.todo:
            return False
        self.todo.remove(todo)
        taken = self.ledger.claim(todo.row_id, self.runner)
        self._lost = 0 if taken else self._lost + 1
        if self._lost >= STALE:
            self._lost = 0
            waiting = {history.waiting for history in self.ledger.histories().values()}
            self.todo = [todo for todo in self.todo if todo.row_id in waiting]
            self._spread()
        return taken

    def release(self, todo: Todo, seconds: float = 0.0, devices: int = 1) -> None:
        """Gives the trial back after `seconds` on so many `devices`; any runner may take it."""
        self.ledger.release(todo.row_id, seconds, devices)

    def finish(self, todo: Todo, seconds: float, devices: int) -> dict[str, Any] | None:
        """Records the trial's result if it is on disk, and returns it; `seconds` on so many `devices`."""
        metrics = self._settler.adopt(todo.trial, todo.row_id, seconds=seconds, devices=devices)
        self.done += metrics is not None
        return metrics

    def prune(self, todo: Todo, seconds: float, devices: int, **result: Any) -> None:
        """Records that a pruner has ended the trial; `result`: what else is to be kept."""
        self.ledger.prune(todo.row_id, seconds=seconds, devices=devices, **result)
        self.done += 1

    def fail(self, todo: Todo, reason: str, log: Path, seconds: float, devices: int, *, again: bool) -> None:
        """Records a failed attempt; with `again` the trial waits for another one, else it is given up."""
        result = {"log": str(log), "seconds": seconds, "devices": devices} | ({} if again else {FINAL: True})
        with alone(self.folder, self.ledger.pause), self.ledger.transaction():
            mine = self.ledger.fail(todo.row_id, reason, **result)
            if mine and again:
                self._add(replace(todo, attempt=todo.attempt + 1))
            elif mine:
                self.given_up.append((todo.trial, reason))

    def _update(self, dead: set[str]) -> None:
        with self.ledger.transaction():
            rows = self.ledger.rows()
            found = histories(rows)
            self._is_outdated()
            living = set(self._settler.watch.known()) - dead - {self.runner}
            trials = self._know(rows, found)
            for key, history in found.items():
                trial = trials.get(key)
                if trial or not self.outdated:
                    self._settler.settle(trial, history, dead, living)
            lacking = self._sort(found)
            if self.outdated:
                self.todo.clear()
            else:
                self._fill(lacking)

    def _spread(self) -> None:
        """Of k runners each begins with its own k-th part of what waits, lest all try for the same row."""
        runners = self._settler.watch.known()
        if self.runner in runners:
            place, step = runners.index(self.runner), len(runners)
            own = self.todo[place::step]
            mine = {todo.row_id for todo in own}
            self.todo = own + [todo for todo in self.todo if todo.row_id not in mine]

    def _is_outdated(self) -> bool:
        self.outdated = self.ledger.declared() not in (self._listed, None)
        return self.outdated

    def _know(self, rows: Sequence[FrozenTrial], found: dict[str, History]) -> dict[str, PlannedTrial]:
        """Learns what was proposed and, the first time, what had been given up; returns the trials by key."""
        self.trials = self._fixed.copy()
        if self._searches:
            from limo_ablate.study.search.search import known

            for search in self._searches:
                self.trials += known(search, _of(search, rows))
        if self._reopen:
            self._reopened = {key: len(history.failures) for key, history in found.items() if history.final}
            self._reopen = False
        return {trial.id: trial for trial in self.trials}

    def _sort(self, found: dict[str, History]) -> list[Todo]:
        """Counts the trials by what happened to them; returns those that need a row, in order."""
        self.todo, self.given_up, lacking = [], [], []
        self.done = self.elsewhere = 0
        for order, trial in enumerate(self.trials):
            history = found.get(trial.id) or History(trial.name)
            todo = Todo(order, trial, _NO_ROW, len(history.failures) + 1)
            if history.done or history.pruned:
                self.done += 1
            elif history.running is not None:
                self.elsewhere += history.runner != self.runner
            elif history.waiting is not None:
                self.todo.append(replace(todo, row_id=history.waiting))
            elif self._is_given_up(trial, history):
                self.given_up.append((trial, history.failures[-1]))
            else:
                lacking.append(todo)
        self.todo.sort(key=self._place)
        proposed = len(self.trials) - len(self._fixed)
        self.missing = len(lacking) + self.total - len(self._fixed) - proposed
        return sorted(lacking, key=self._place)

    def _is_given_up(self, trial: PlannedTrial, history: History) -> bool:
        failures = len(history.failures)
        return failures >= self.attempts or (history.final and self._reopened.get(trial.id) != failures)

    def _place(self, todo: Todo) -> tuple[bool, int, float, int]:
        """Whole grids first: first attempts before others, the first seed before others."""
        if (key := self._keys.get(todo.trial.id)) is None:
            key = self._keys[todo.trial.id] = self._order_key(todo.trial) if self._order_key else 0.0
        return todo.attempt > 1, self._seeds.get(todo.trial.seed, 0), key, todo.order

    def _fill(self, lacking: Sequence[Todo]) -> None:
        """Lets as many trials wait as the window takes."""
        window = max(self._window, PER_RUNNER * len(self._settler.watch.known()))
        room = max(0, window - len(self.todo))
        for todo in lacking[:room]:
            self._add(todo)
        self.missing -= len(lacking[:room])
        self.todo.sort(key=self._place)

    def _propose(self, rows: Sequence[FrozenTrial]) -> None:
        """Asks the searches for trials, evenly, while fewer than slots wait; those with the fewest first."""
        from limo_ablate.study.search.search import propose

        room = self._slots - len(self.todo)
        asked = [(search, _of(search, rows)) for search in self._searches]
        asked = [(search, own) for search, own in asked if search.remaining(own) > 0]
        asked.sort(key=lambda pair: (self._seeds.get(pair[0].seed, 0), len(pair[1])))
        for place, (search, own) in enumerate(asked):
            if room <= 0:
                return
            new = propose(search, own, -(-room // (len(asked) - place)))
            self._space, first = None, len(self.trials)  # the space is to hold the new levels
            self.trials += new
            with self.ledger.transaction():
                for order, trial in enumerate(new, start=first):
                    self._add(Todo(order, trial, _NO_ROW, 1))
            room -= len(new)
            self.missing -= len(new)

    def _add(self, todo: Todo) -> None:
        if self._space is None:
            self._space = space(self.ledger.rows(), self.trials, grows=self.ledger.grows)
        row_id = self.ledger.add(todo.trial, todo.attempt, self._space)
        self.todo.append(replace(todo, row_id=row_id))


@contextmanager
def alone(
    folder: Path, pause: Callable[[float], None] = time.sleep, patience: float = PATIENCE
) -> Iterator[None]:
    """Held by the one runner that changes which rows there are; waits by `pause`.

    Raises UserError after `patience` seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    while (held := _taken(folder)) is None:
        if time.monotonic() > deadline:
            raise UserError(f"{folder / LOCK}: held for {patience:g} s; is another runner suspended?")
        pause(SHORT_PAUSE)
    with held:
        yield


def _taken(folder: Path) -> AbstractContextManager[object] | None:
    """The lock; None while another runner holds it."""
    try:
        return FileLock(folder / LOCK).acquire(timeout=0)
    except Timeout:
        return None


def _of(search: Search, rows: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [row for row in rows if row.user_attrs.get("search") == search.name]


def retry(ledger: Ledger, trials: Sequence[PlannedTrial], folder: Path) -> list[PlannedTrial]:
    """Gives those of the trials that failed, and wait no more, new attempts; returns them."""
    with alone(folder), ledger.transaction():
        rows = ledger.rows()
        found = histories(rows)
        stuck = [trial for trial in trials if (history := found.get(trial.id)) and _is_stuck(history)]
        room = space(rows, trials, grows=ledger.grows)
        for trial in stuck:
            ledger.add(trial, 1, room, retry=True)
    return stuck


def _is_stuck(history: History) -> bool:
    ended = history.done or history.pruned or history.waiting is not None or history.running is not None
    return bool(history.failures) and not ended
