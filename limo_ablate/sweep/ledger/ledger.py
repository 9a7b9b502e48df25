"""The ledger: the attempts of a study, as the trials of one Optuna study, which optuna-dashboard can open.

An attempt is a row: an Optuna trial that is WAITING with the trial's levels as parameters, is claimed by
compare-and-set, and ends COMPLETE (its value is the accuracy), PRUNED, or FAIL with a reason. A new attempt
is a new row.

Attributes of a row: `cell` (the trial's name), `key` (its id), `attempt`, `blocks`; `search` and `proposal`
where a search proposed it; `retry` where earlier attempts no longer count; `levels` that are not parameters;
`runner`, which runs it; `machine`, where that is not the runner's; and `result`, written once, when it ends:
scores or reason, seconds, devices, log.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from limo_ablate.core.reading import checked
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.ledger.journal import PATIENCE
from limo_ablate.sweep.ledger.parameters import Space, parameters
from limo_ablate.sweep.ledger.storage import Storage

LEDGER = "ledger.log"
"""File of the journal in a study's folder."""
SPENT = "spent"
"""Attribute of rows that were given back: [seconds, device-seconds, [start, seconds, runner, machine?], ...]
spent until then."""
INTERRUPTED = "interrupted"
"""Key in the result of failed attempts that were not the trial's fault and don't count against it."""
DECLARED = "limo_ablate:cells"
"""System attribute of the study: which trials it has."""
FINAL = "final"
"""Key in the result of failed attempts after which the trial was given up."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which an attempt ran: seconds since 1970, by the clock of its machine."""

    start: float
    end: float
    machine: str
    """Name of the machine; empty if unknown."""
    state: str
    """`done`, `failed`, `pruned`, `interrupted` (no fault of the trial, say a preemption) or `running`."""
    devices: int | None = None
    """Devices that it used, if that is recorded."""


@dataclass(slots=True)
class History:
    """What the ledger knows about one trial."""

    name: str
    done: bool = False
    pruned: bool = False
    """Whether a pruner has ended it; it is not run again."""
    waiting: int | None = None
    """Id of its row that waits."""
    duplicates: list[int] = field(default_factory=list)
    """Ids of further rows of the trial that wait."""
    running: int | None = None
    """Id of its row that runs."""
    since: float = 0.0
    """When that row was claimed, by its runner's clock: seconds since 1970."""
    runner: str | None = None
    """Id of the runner; None between the claim and its signature."""
    failures: list[str] = field(default_factory=list)
    """Reasons of the attempts that count."""
    final: bool = False
    """Whether another attempt would fail again for the same reason, so that only a new `sweep` retries it."""
    seconds: float = 0.0
    """Seconds spent on all its attempts."""
    device_seconds: float = 0.0
    """Device-seconds spent on all its attempts."""


class Ledger:
    def __init__(
        self,
        url: str | Path,
        name: str,
        patience: float = PATIENCE,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Opens the study `name`, and creates it if needed. A Path is a journal file. Raises UserError.

        Each operation waits up to `patience` seconds for a ledger that is locked or unreachable; `pause` does
        the waiting, and may raise to end it.
        """
        self.pause = pause
        self._storage = Storage(url, patience, pause)
        self.storage, self.name = self._storage.optuna, name
        self._study: int = self._storage.patiently(self._find)

    def _find(self) -> int:
        try:
            return self.storage.get_study_id_from_name(self.name)
        except KeyError:
            with self.transaction():
                study = optuna.create_study(
                    storage=self.storage, study_name=self.name, direction="maximize", load_if_exists=True
                )
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ExperimentalWarning)
                    study.set_metric_names(["accuracy"])
                return study._study_id

    def transaction(self) -> AbstractContextManager[None]:
        """Turns all that is written inside into one write, where the storage can."""
        return self._storage.transaction()

    def rows(self) -> list[FrozenTrial]:
        """All rows of the study's trials, oldest first; not to be changed."""
        return self._storage.rows(self._study)

    def histories(self) -> dict[str, History]:
        """Trial id -> what happened to it, for all trials that the ledger has ever held."""
        return histories(self.rows())

    @property
    def grows(self) -> bool:
        """Whether a categorical axis may get new levels as a parameter."""
        return self._storage.grows

    def declared(self) -> str | None:
        """The trials that the study had when it was last declared, as given to `declare`."""
        attributes = self._storage.patiently(lambda: self.storage.get_study_system_attrs(self._study))
        declared: str | None = checked(attributes.get(DECLARED), f"ledger {self._storage.url}", str | None)
        return declared

    def declaration(self) -> dict[str, Any]:
        """The declaration of the study as of its last run; empty before the first."""
        return self._storage.patiently(lambda: self.storage.get_study_user_attrs(self._study))

    def bind(self, key: str, value: str) -> None:
        """Stores an attribute of the study."""
        self._storage.patiently(lambda: self.storage.set_study_user_attr(self._study, key, value))

    def declare(self, trials: str, about: Mapping[str, Any]) -> None:
        """Stores the study's declaration; `about` are the attributes that optuna-dashboard shows."""
        with self.transaction():
            for key, value in about.items():
                self._storage.patiently(partial(self.storage.set_study_user_attr, self._study, key, value))
            self._storage.patiently(
                partial(self.storage.set_study_system_attr, self._study, DECLARED, trials)
            )

    def add(self, trial: PlannedTrial, attempt: int, space: Space, **attributes: Any) -> int:
        """Adds a WAITING row for the trial; returns its id."""
        levels = parameters(trial)
        params = {key: level for key, level in levels.items() if key in space}
        beside = {key: level for key, level in levels.items() if key not in space}
        about: dict[str, Any] = {
            "cell": trial.name,
            "key": trial.id,
            "attempt": attempt,
            "blocks": list(trial.blocks),
        }
        if beside:
            about["levels"] = beside
        if trial.proposal:
            about |= {"search": trial.proposal.search, "proposal": trial.proposal.row()}
        row = create_trial(
            state=TrialState.WAITING,
            params=params,
            distributions={key: space[key] for key in params},
            user_attrs=about | attributes,
        )
        with self.transaction():
            return self._storage.patiently(
                lambda: self.storage.create_new_trial(self._study, template_trial=row)
            )

    def claim(self, row_id: int, runner: str) -> bool:
        """Claims a WAITING row; False when another runner was faster."""
        with self.transaction():
            if not self._move(row_id, TrialState.RUNNING):
                return False
            return self._note(row_id, runner=runner)

    def runner_of(self, row_id: int) -> str | None:
        """The runner that has claimed the row and signed it; reads the row again."""
        row = self._storage.patiently(lambda: self.storage.get_trial(row_id))
        runner: str | None = row.user_attrs.get("runner")
        return runner

    def release(self, row_id: int, seconds: float = 0.0, devices: int = 1) -> bool:
        """Gives a RUNNING row back, so that it waits again; keeps what was spent on it so far."""
        with self.transaction():
            row = self._storage.patiently(lambda: self.storage.get_trial(row_id))
            before, on_devices, *ran = row.user_attrs.get(SPENT, (0.0, 0.0))
            span, about = [_start(row), seconds, row.user_attrs.get("runner")], dict[str, Any](runner=None)
            if machine := row.user_attrs.get("machine"):
                span, about = [*span, machine], about | {"machine": None}
            about[SPENT] = [before + seconds, on_devices + seconds * devices, *ran, span]
            return self._note(row_id, **about) and self._move(row_id, TrialState.WAITING)

    def ran_on(self, row_id: int, machine: str) -> None:
        """Notes the machine of a RUNNING row, where that is not its runner's."""
        with self.transaction():
            self._note(row_id, machine=machine)

    def finish(self, row_id: int, metrics: Mapping[str, Any], folder: Path, **result: Any) -> bool:
        """Records a result, `metrics` as in metrics.json; False if the row had ended before.

        The row's value is the accuracy of the first score. `result`: what to keep beside the scores.
        """
        scores = metrics["scores"]
        artifacts = {stage: artifact["key"] for stage, artifact in metrics["artifacts"].items()}
        result = {"scores": scores, "artifacts": artifacts, "folder": str(folder)} | result
        result.setdefault("seconds", metrics["total_seconds"])
        return self._end(row_id, TrialState.COMPLETE, result, [next(iter(scores.values()))["accuracy"]])

    def prune(self, row_id: int, **result: Any) -> bool:
        """Records that a pruner has ended the trial; False if the row had ended before."""
        return self._end(row_id, TrialState.PRUNED, result)

    def fail(self, row_id: int, reason: str, **result: Any) -> bool:
        """Records a failed attempt; False if the row had ended before."""
        return self._end(row_id, TrialState.FAIL, {"reason": reason, **result})

    def _end(
        self, row_id: int, state: TrialState, result: dict[str, Any], values: list[float] | None = None
    ) -> bool:
        with self.transaction():
            return self._note(row_id, result=result) and self._move(row_id, state, values)

    def _move(self, row_id: int, state: TrialState, values: list[float] | None = None) -> bool:
        try:
            return self._storage.patiently(lambda: self.storage.set_trial_state_values(row_id, state, values))
        except UpdateFinishedTrialError:
            return False

    def _note(self, row_id: int, **attributes: Any) -> bool:
        try:
            for key, value in attributes.items():
                self._storage.patiently(partial(self.storage.set_trial_user_attr, row_id, key, value))
        except UpdateFinishedTrialError:
            return False
        return True


def seconds_run(rows: Sequence[FrozenTrial], now: float) -> float:
    """Wall time in which at least one of the attempts ran, until `now` (seconds since 1970).

    Attempts that ran side by side count once; breaks in which none ran don't count.
    """
    total, until = 0.0, 0.0
    for span in sorted((span for row in rows for span in spans(row, now)), key=lambda span: span.start):
        total += max(0.0, span.end - max(span.start, until))
        until = max(until, span.end)
    return total


def spans(row: FrozenTrial, now: float) -> Iterator[Span]:
    """The times in which the row ran, until `now` (seconds since 1970)."""
    given_back, on_devices, *ran = row.user_attrs.get(SPENT, (0.0, 0.0))
    devices = round(on_devices / given_back) if given_back else None
    for start, seconds, *by in ran:
        place = by[1] if len(by) > 1 else machine_of(*by)
        yield Span(start, start + seconds, place, "interrupted", devices)
    machine = row.user_attrs.get("machine") or machine_of(row.user_attrs.get("runner"))
    result = row.user_attrs.get("result", {})
    if row.state == TrialState.RUNNING:
        yield Span(_start(row), now, machine, "running")
    elif row.state.is_finished() and row.datetime_start is not None:
        state = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned"}.get(row.state, "failed")
        state = "interrupted" if INTERRUPTED in result else state
        end = _start(row) + result.get("seconds", 0.0)
        yield Span(_start(row), end, machine, state, result.get("devices"))


def machine_of(runner: str | None = None) -> str:
    """The machine of a runner, whose id is `host-pid-4hex`; empty if unknown."""
    return (runner or "").rsplit("-", 2)[0]


def _start(row: FrozenTrial) -> float:
    """When the row was last claimed."""
    assert row.datetime_start is not None
    return row.datetime_start.timestamp()


def histories(rows: Sequence[FrozenTrial]) -> dict[str, History]:
    """Trial id -> what happened to it."""
    found: dict[str, History] = {}
    for row in rows:
        history = found.setdefault(row.user_attrs["key"], History(row.user_attrs["cell"]))
        if "retry" in row.user_attrs:
            history.failures.clear()
            history.done = history.pruned = history.final = False
        _record(history, row, row.user_attrs.get("result", {}))
    return found


def _record(history: History, row: FrozenTrial, result: Mapping[str, Any]) -> None:
    seconds = result.get("seconds", 0.0)
    given_back, on_devices, *_ = row.user_attrs.get(SPENT, (0.0, 0.0))
    history.seconds += seconds + given_back
    history.device_seconds += seconds * result.get("devices", 1) + on_devices
    if row.state == TrialState.COMPLETE:
        history.done = True
    elif row.state == TrialState.PRUNED:
        history.pruned = True
    elif row.state == TrialState.WAITING:
        if history.waiting is not None:
            history.duplicates.append(row._trial_id)
        else:
            history.waiting = row._trial_id
    elif row.state == TrialState.RUNNING:
        history.running, history.runner = row._trial_id, row.user_attrs.get("runner")
        history.since = _start(row)
    elif INTERRUPTED not in result:
        history.failures.append(result.get("reason", "no reason was recorded"))
        history.final = FINAL in result
