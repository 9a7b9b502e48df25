"""The attempts of a study's trials: when and where each ran, and how it ended.

Read from the ledger, which has every attempt; if it is not available, from the records of finished trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from limo_ablate.core.errors import UserError
from limo_ablate.core.provenance import read_provenance
from limo_ablate.report.study_view import StudyView

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

PATIENCE = 3.0
"""Seconds to wait for a database that does not answer: the report can do without it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    cell: str
    machine: str
    """Machine it ran on, from its runner's name; empty if unknown."""
    state: str
    """`done`, `failed`, `pruned`, `interrupted` (not the trial's fault) or `running`."""
    start: float
    """Start in seconds since the epoch, by the clock of its machine."""
    end: float
    number: int
    """Number of the attempt, from 1."""
    reason: str
    """Reason of its failure; empty if it did not fail."""


def attempts(view: StudyView) -> tuple[list[Attempt], bool]:
    """All attempts that have begun, earliest first, and whether they are from the ledger."""
    rows = _rows(view)
    if not rows:
        return sorted(_recorded(view), key=lambda attempt: attempt.start), False
    begun = [row for row in rows if row.datetime_start]
    last = max(
        (time for row in begun for time in (row.datetime_start, row.datetime_complete) if time), default=None
    )
    begun_attempts = [_attempt(row, last) for row in begun]
    return sorted(begun_attempts, key=lambda attempt: attempt.start), True


def _rows(view: StudyView) -> Sequence[FrozenTrial]:
    """The ledger's rows; none if it is missing, does not answer, or belongs to another study."""
    from limo_ablate.sweep.ledger.ledger import LEDGER
    from limo_ablate.sweep.ledger.reader import LedgerReader

    try:
        return LedgerReader(view.study.ledger or view.folder / LEDGER, view.study.name, PATIENCE).rows()
    except UserError:
        return []


def _attempt(row: FrozenTrial, last: datetime | None) -> Attempt:
    from limo_ablate.sweep.ledger.ledger import INTERRUPTED

    assert row.datetime_start is not None
    attributes = row.user_attrs
    result = attributes.get("result", {})
    state = {"COMPLETE": "done", "PRUNED": "pruned", "RUNNING": "running"}.get(row.state.name, "failed")
    if state == "failed" and INTERRUPTED in result:
        state = "interrupted"
    return Attempt(
        cell=attributes["cell"],
        machine=(attributes.get("runner") or "").rsplit("-", 2)[0],
        state=state,
        start=row.datetime_start.timestamp(),
        end=(row.datetime_complete or last or row.datetime_start).timestamp(),
        number=attributes.get("attempt", 1),
        reason=result.get("reason", ""),
    )


def _recorded(view: StudyView) -> list[Attempt]:
    recorded = []
    for trial in view.done:
        started = read_provenance(trial.folder)["started"]
        start = datetime.fromisoformat(started).timestamp()
        end = start + (trial.metrics or {})["total_seconds"]
        recorded.append(Attempt(trial.name, "", "done", start, end, 1, ""))
    return recorded
