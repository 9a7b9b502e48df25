"""The attempts of a study's trials: when each ran, where, and how it ended.

From the ledger, which has every attempt; where that is away, from what the finished trials recorded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from limo_ablate.core.errors import UserError
from limo_ablate.report.study_view import StudyView

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

PATIENCE = 3.0
"""Seconds for which a database that is away is waited for: the report can do without it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    cell: str
    machine: str
    """Where it ran, as its runner calls itself; empty where that is not known."""
    state: str
    """`done`, `failed`, `pruned`, `interrupted` (not the trial's fault), `running`."""
    start: float
    """Seconds since an instant that all attempts share, by the clock of its machine."""
    end: float
    number: int
    """From 1."""
    reason: str
    """Of its failure; empty without one."""


def attempts(view: StudyView) -> tuple[list[Attempt], bool]:
    """All that have begun, earliest first, and whether they are from the ledger."""
    rows = _rows(view)
    if not rows:
        return sorted(_recorded(view), key=lambda attempt: attempt.start), False
    begun = [row for row in rows if row.datetime_start]
    last = max(
        (time for row in begun for time in (row.datetime_start, row.datetime_complete) if time), default=None
    )
    found = [_attempt(row, last) for row in begun]
    return sorted(found, key=lambda attempt: attempt.start), True


def _rows(view: StudyView) -> Sequence[FrozenTrial]:
    """The ledger's rows; none where it is away, not there, or not this study's."""
    from limo_ablate.sweep.ledger.ledger import LEDGER
    from limo_ablate.sweep.ledger.reader import LedgerReader

    try:
        return LedgerReader(view.study.ledger or view.folder / LEDGER, view.study.name, PATIENCE).rows()
    except UserError:
        return []


def _attempt(row: FrozenTrial, last: datetime | None) -> Attempt:
    from limo_ablate.sweep.ledger.ledger import INTERRUPTED

    assert row.datetime_start is not None
    about = row.user_attrs
    result = about.get("result", {})
    state = {"COMPLETE": "done", "PRUNED": "pruned", "RUNNING": "running"}.get(row.state.name, "failed")
    if state == "failed" and INTERRUPTED in result:
        state = "interrupted"
    return Attempt(
        cell=about["cell"],
        machine=(about.get("runner") or "").rsplit("-", 2)[0],
        state=state,
        start=row.datetime_start.timestamp(),
        end=(row.datetime_complete or last or row.datetime_start).timestamp(),
        number=about.get("attempt", 1),
        reason=result.get("reason", ""),
    )


def _recorded(view: StudyView) -> list[Attempt]:
    found = []
    for trial in view.done:
        started = json.loads((trial.folder / "provenance.json").read_text())["started"]
        start = datetime.fromisoformat(started).timestamp()
        end = start + (trial.metrics or {})["total_seconds"]
        found.append(Attempt(trial.name, "", "done", start, end, 1, ""))
    return found
