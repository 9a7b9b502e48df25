"""Section on trials without a result: failed ones with reason and rerun command, and trials still to run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from limo_ablate.core.text import counted
from limo_ablate.report.health.attempts import Attempt, attempts
from limo_ablate.report.section import Section, Table
from limo_ablate.report.study_view import StudyView

LISTED = 40
"""Maximum number of trial names in a sentence."""
HEADER = ["trial", "reason", "log", "rerun command", "attempts"]


def section(view: StudyView) -> Section | None:
    """Failed and missing trials; None if all trials have a result."""
    missing = [trial.name for trial in view.trials if not trial.metrics and not trial.failure]
    if not view.failed and not missing:
        return None
    attempts_made, from_ledger = attempts(view)
    ended = [attempt.cell for attempt in attempts_made if attempt.state == "pruned"]
    text = [_reasons(view)] if view.failed else []
    text += _listed("stopped early by the pruner", [name for name in missing if name in ended])
    text += _listed("not run yet", [name for name in missing if name not in ended])
    table = _table(view, attempts_made if from_ledger else None) if view.failed else None
    title = "Failed and missing trials" if view.failed else "Trials without a result"
    return Section("failures", title, tuple(text), table=table)


def _reasons(view: StudyView) -> str:
    counts = Counter(_reason(trial.failure) for trial in view.failed).most_common()
    reasons = "; ".join(f"{count} × {reason}" if count > 1 else reason for reason, count in counts)
    return f"{len(view.failed)} of {len(view.trials)} trials failed: {reasons}."


def _listed(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = ", …" if len(names) > LISTED else ""
    return [f"{counted(len(names), 'trial')} {what}: {', '.join(names[:LISTED])}{more}"]


def _table(view: StudyView, attempts_made: Sequence[Attempt] | None) -> Table:
    counts = Counter(one.cell for one in attempts_made or () if one.state == "failed")
    rows = []
    for trial in view.failed:
        failure = trial.failure or {}
        count = "–" if attempts_made is None else str(counts[trial.name])
        rows.append([trial.name, _reason(failure), str(failure["log"]), str(failure["command"]), count])
    return Table(HEADER, rows, 4)


def _reason(failure: dict[str, object] | None) -> str:
    return str((failure or {}).get("reason", "no reason recorded")).rstrip(".")
