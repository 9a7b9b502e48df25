"""Groups of cells, for charts without room for every cell."""

from __future__ import annotations

from dataclasses import dataclass

from limo_ablate.analysis.trials import Trial
from limo_ablate.report.labels import axis
from limo_ablate.report.study_view import StudyView

APART = " · "
"""Separator of the levels in a cell's name."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Finished trials by the levels of some of the study's factors."""

    keys: tuple[str, ...]
    """Factors whose levels define the groups."""
    over: tuple[str, ...]
    """The other factors: a group contains all of their levels."""
    trials: dict[str, list[Trial]]
    """Group -> its trials, in the study's order."""

    @property
    def note(self) -> str:
        """Caption that says what a group is."""
        apart = ", ".join(map(axis, self.keys)) or "all cells together"
        return f"By {apart}{'; over ' + ', '.join(map(axis, self.over)) if self.over else ''}."


def groups(view: StudyView, limit: int | None = None) -> Groups:
    """The counted trials by cell; with more than `limit` cells, the factors with most levels are dropped."""
    kept = list(view.keys)
    levels = {t.name: view.levels({key: t.level_if_any(key) for key in view.keys}) for t in view.counted}
    while True:
        places = [view.keys.index(key) for key in kept]
        members: dict[str, list[Trial]] = {}
        for trial in view.counted:
            parts = [levels[trial.name][place] for place in places]
            members.setdefault(APART.join(part for part in parts if part != "–") or "all", []).append(trial)
        if limit is None or len(members) <= limit or not kept:
            return Groups(tuple(kept), tuple(key for key in view.keys if key not in kept), members)
        counts = {key: len({own[view.keys.index(key)] for own in levels.values()}) for key in kept}
        kept.remove(max(kept, key=lambda key: counts[key]))
