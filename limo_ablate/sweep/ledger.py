"""The ledger: a study's cells as trials of one Optuna study, which optuna-dashboard can open.

A cell waits as a WAITING trial with its levels as parameters, is claimed by compare-and-set, and ends
COMPLETE (its value is the accuracy) or FAIL with a reason; a new attempt is a new trial. The storage is a
journal file by default, any database Optuna takes by URL.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from limo_ablate.errors import UserError
from limo_ablate.sweep.cells import Cell

LEDGER = "ledger.log"
"""The journal in a study's folder."""
SQLITE_PATIENCE = 60
"""Seconds to wait for the database while another process writes."""
INTERRUPTED = "interrupted"
"""Attribute of failed attempts that were not the cell's fault; they don't count against it."""


@dataclass(slots=True)
class History:
    """What the ledger knows of one cell."""

    name: str
    done: bool = False
    waiting: int | None = None
    """Id of its trial."""
    running: int | None = None
    failures: list[str] = field(default_factory=list)
    """Reasons of the attempts that count."""


class Ledger:
    def __init__(self, url: str | Path, name: str) -> None:
        """Opens the study `name`, made if need be. A Path is a journal file. Raises UserError."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.storage = _open(url)
        try:
            self._study = self.storage.get_study_id_from_name(name)
        except KeyError:
            self._study = self.storage.create_new_study([StudyDirection.MAXIMIZE], name)
        attributes = self.storage.get_study_user_attrs(self._study)
        if "mark" not in attributes:
            attributes = {"mark": uuid.uuid4().hex}
            self.storage.set_study_user_attr(self._study, "mark", attributes["mark"])
        self.mark: str = attributes["mark"]
        """Stands in the environment of every process of the study."""

    def histories(self) -> dict[str, History]:
        """Cell key -> what happened to it, of all cells the ledger has ever held."""
        found: dict[str, History] = {}
        for trial in self.storage.get_all_trials(self._study, deepcopy=False):
            key = trial.user_attrs.get("key")
            if key is None:  # added by other tools
                continue
            history = found.setdefault(key, History(trial.user_attrs["cell"]))
            if trial.state == TrialState.COMPLETE:
                history.done = True
            elif trial.state == TrialState.WAITING:
                history.waiting = trial._trial_id
            elif trial.state == TrialState.RUNNING:
                history.running = trial._trial_id
            elif INTERRUPTED not in trial.user_attrs:
                history.failures.append(trial.user_attrs["reason"])
        return found

    def add(self, cell: Cell, attempt: int, space: Mapping[str, BaseDistribution]) -> int:
        """A WAITING trial for the cell; returns its id."""
        levels = {key: level for key, level in _levels(cell).items() if key in space}
        trial = create_trial(
            state=TrialState.WAITING,
            params=levels,
            distributions={key: space[key] for key in levels},
            user_attrs={
                "cell": cell.name,
                "key": cell.key,
                "attempt": attempt,
                "blocks": list(cell.blocks),
            },
        )
        return self.storage.create_new_trial(self._study, template_trial=trial)

    def claim(self, trial: int) -> bool:
        """Takes a WAITING trial; False when someone else was faster."""
        return self.storage.set_trial_state_values(trial, TrialState.RUNNING)

    def release(self, trial: int) -> None:
        """Gives a RUNNING trial back: it waits again."""
        self.storage.set_trial_state_values(trial, TrialState.WAITING)

    def finish(self, trial: int, metrics: Mapping[str, Any], folder: Path) -> None:
        """Records a result; the value is the accuracy of the first score. `metrics` as in metrics.json."""
        first = next(iter(metrics["scores"].values()))
        self._note(
            trial,
            scores=first,
            seconds=metrics["total_seconds"],
            folder=str(folder),
            artifacts={stage: artifact["key"] for stage, artifact in metrics["artifacts"].items()},
        )
        self.storage.set_trial_state_values(trial, TrialState.COMPLETE, [first["accuracy"]])

    def fail(self, trial: int, reason: str, **attributes: Any) -> None:
        self._note(trial, reason=reason, **attributes)
        self.storage.set_trial_state_values(trial, TrialState.FAIL)

    def _note(self, trial: int, **attributes: Any) -> None:
        for key, value in attributes.items():
            self.storage.set_trial_user_attr(trial, key, value)

    def space(self, cells: Iterable[Cell]) -> dict[str, BaseDistribution]:
        """A distribution for each axis, over the levels of all cells of the study, old ones included.

        A database does not let a categorical parameter grow: there, the new levels of such an axis stand
        in the cell's name only. Journals have no such limit.
        """
        trials = self.storage.get_all_trials(self._study, deepcopy=False)
        levels: dict[str, list[Any]] = {}
        for point in [*(trial.params for trial in trials), *(_levels(cell) for cell in cells)]:
            for key, level in point.items():
                levels.setdefault(key, []).append(level)
        space = {key: _distribution(values) for key, values in levels.items()}
        if isinstance(self.storage, JournalStorage):
            return space
        for trial in trials:
            for key, old in trial.distributions.items():
                if key in space and not _compatible(old, space[key]):
                    del space[key]
        return space


def _open(url: str | Path) -> BaseStorage:
    if isinstance(url, Path):
        # absolute, for Optuna's lock is a symbolic link to it
        return JournalStorage(JournalFileBackend(str(url.resolve())))
    try:
        return _database(url)
    except Exception as error:
        raise UserError(f"ledger={url}: can't be opened: {' '.join(str(error).split())}") from error


def _database(url: str) -> RDBStorage:
    from sqlalchemy import event

    if not url.startswith("sqlite"):
        return RDBStorage(url)
    storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": SQLITE_PATIENCE}})
    storage.engine.dispose()
    # Optuna claims by SELECT ... FOR UPDATE, which SQLite ignores: two workers would get the same trial.
    # https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#pysqlite-serializable
    event.listen(
        storage.engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None)
    )
    event.listen(storage.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return storage


def mend(journal: Path) -> Path:
    """Drops a torn last line and a stale lock, which kill -9 in the middle of an append leaves.

    Optuna reads past the line only until the next append, and waits 30 s for the lock. Only for who holds
    the study: nobody else is writing then.
    """
    Path(f"{journal}.lock").unlink(missing_ok=True)
    if journal.exists() and not (content := journal.read_bytes()).endswith(b"\n"):
        with journal.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
    return journal


def _levels(cell: Cell) -> dict[str, Any]:
    """Parameters as Optuna takes them: scalars; the seed is one of them."""
    levels = {**cell.levels, "seed": cell.seed}
    return {
        key: level if level is None or isinstance(level, bool | int | float | str) else str(level)
        for key, level in levels.items()
    }


def _distribution(levels: list[Any]) -> BaseDistribution:
    kinds = {type(level) for level in levels}
    if kinds == {int}:
        return IntDistribution(min(levels), max(levels))
    if kinds <= {int, float}:
        return FloatDistribution(min(levels), max(levels))
    return CategoricalDistribution(list(dict.fromkeys(levels)))


def _compatible(old: BaseDistribution, new: BaseDistribution) -> bool:
    try:
        check_distribution_compatibility(old, new)
    except ValueError:
        return False
    return True
