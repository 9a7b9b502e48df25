"""The attempts of a study's trials: when and where each ran, and how it ended.

Read from the ledger, which has every attempt; if it is not available, from the records of finished trials.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    state: str
    start: float
    end: float
    """These four are as in the ledger's `Span`."""
    number: int
    """Number of the attempt, from 1."""
    reason: str
    """Reason of its failure; empty if it did not fail."""


def attempts(view: StudyView) -> tuple[list[Attempt], bool]:
    """All attempts that have begun, earliest first, and whether they are from the ledger."""
    rows = _rows(view)
    if not rows:
        return sorted(_recorded(view), key=lambda attempt: attempt.start), False
    times = [at for row in rows for at in (row.datetime_start, row.datetime_complete) if at]
    last = max(times).timestamp() if times else 0.0
    begun = [attempt for row in rows for attempt in _attempts(row, last)]
    return sorted(begun, key=lambda attempt: attempt.start), True


def _rows(view: StudyView) -> Sequence[FrozenTrial]:
    """The ledger's rows; none if it is missing, does not answer, or belongs to another study."""
    from limo_ablate.sweep.ledger.ledger import LEDGER
    from limo_ablate.sweep.ledger.reader import LedgerReader

    try:
        return LedgerReader(view.study.ledger or view.folder / LEDGER, view.study.name, PATIENCE).rows()
    except UserError:
        return []


def _attempts(row: FrozenTrial, last: float) -> Iterator[Attempt]:
    from limo_ablate.sweep.ledger.ledger import spans

    about = row.user_attrs
    reason = about.get("result", {}).get("reason", "")
    for span in spans(row, last):
        why = reason if span.state == "failed" else ""
        yield Attempt(
            about["cell"], span.machine, span.state, span.start, span.end, about.get("attempt", 1), why
        )


def _recorded(view: StudyView) -> list[Attempt]:
    recorded = []
    for trial in view.done:
        started = read_provenance(trial.folder)["started"]
        start = datetime.fromisoformat(started).timestamp()
        end = start + (trial.metrics or {})["total_seconds"]
        recorded.append(Attempt(trial.name, "", "done", start, end, 1, ""))
    return recorded
