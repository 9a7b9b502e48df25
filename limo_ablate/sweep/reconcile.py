"""Brings a study's ledger in line with the results on disk, before a sweep runs what is missing.

A trial that is finished in the ledger runs again where its result is gone or stale. A result on disk that the
ledger does not know is adopted, as after the ledger was lost or the study was renamed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from limo_ablate.analysis.results import GONE, Results
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.ledger.cleanup import Cleanup
from limo_ablate.sweep.ledger.lease import Watch
from limo_ablate.sweep.ledger.ledger import History, Ledger, histories
from limo_ablate.sweep.ledger.parameters import space
from limo_ablate.sweep.ledger.queue import queue_lock
from limo_ablate.sweep.session import Session, all_trials

PRUNED = "pruned beside results that are stale"


@dataclass(frozen=True, slots=True)
class Differences:
    """The trials of which ledger and disk disagree."""

    again: list[tuple[PlannedTrial, str]]
    """Finished in the ledger, to be run again, each with the reason."""
    kept: list[tuple[PlannedTrial, str]]
    """Finished and stale, not to be run again."""
    finished: list[PlannedTrial]
    """Finished on disk, not in the ledger."""

    def lines(self) -> list[str]:
        """What `reconcile` does about them, for the user."""
        lines = [*reasons(self.again, "run again"), *reasons(self.kept, "stale, kept by --keep-stale")]
        return lines + ([f"{_count(self.finished)} found on disk"] if self.finished else [])


def differences(session: Session, rows: Sequence[FrozenTrial], *, keep_stale: bool) -> Differences:
    """`rows`: the ledger's."""
    found, results, differ = histories(rows), Results(session.folder), Differences([], [], [])
    pruned: list[PlannedTrial] = []
    for trial in all_trials(session, rows):
        history = found.get(trial.id, History(trial.name))
        if history.pruned:
            pruned.append(trial)
        if history.pruned or history.running is not None:
            continue
        why = results.why_not(trial)
        if history.done and why is not None:
            (differ.kept if keep_stale and why != GONE else differ.again).append((trial, why))
        elif not history.done and why is None:
            differ.finished.append(trial)
    reopened = {trial.proposal.search for trial, _ in differ.again if trial.proposal}
    differ.again.extend(
        (trial, PRUNED) for trial in pruned if trial.proposal and trial.proposal.search in reopened
    )
    return differ


def reconcile(session: Session, ledger: Ledger, runner: str, differ: Differences) -> None:
    """Reopens trials and adopts results, as the runner with this id."""
    if not differ.again and not differ.finished:
        return
    searches = {search.name: search for search in session.searches}
    cleanup = Cleanup(ledger, Watch(session.folder), session.folder / "trials", searches)
    with queue_lock(session.folder, ledger.pause), ledger.transaction():
        rows = ledger.rows()
        found, levels = histories(rows), space(rows, all_trials(session, rows), grows=ledger.grows)
        for trial, why in differ.again:
            ledger.add(trial, 1, levels, retry=why)
        for trial in differ.finished:
            waiting = found[trial.id].waiting if trial.id in found else None
            row_id = ledger.add(trial, 1, levels) if waiting is None else waiting
            if ledger.claim(row_id, runner):
                cleanup.adopt_result(trial, row_id)


def reasons(pairs: Sequence[tuple[PlannedTrial, str]], what: str = "stale") -> list[str]:
    """A line for each reason, with the trials that have it: `2 finished trials run again: ...`."""
    counts = Counter(why for _, why in pairs)
    own = {why: [trial for trial, other in pairs if other == why] for why in counts}
    return [f"{_count(own[why])} {what}: {why}" for why, _ in counts.most_common()]


def _count(trials: Sequence[PlannedTrial]) -> str:
    return f"{len(trials)} finished trials" if len(trials) > 1 else f"1 finished trial ({trials[0].name})"
