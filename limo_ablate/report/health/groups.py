"""Which cells stand together in a picture that has no room for all of them."""

from __future__ import annotations

from dataclasses import dataclass

from limo_ablate.analysis.trials import Trial
from limo_ablate.report.labels import axis
from limo_ablate.report.study_view import StudyView

APART = " · "
"""Between the levels of a cell's name."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Finished trials by the levels of some of the study's factors."""

    keys: tuple[str, ...]
    """The factors that tell the groups apart."""
    over: tuple[str, ...]
    """Those that don't: a group holds all of their levels."""
    trials: dict[str, list[Trial]]
    """Group -> its trials, in the study's order."""

    @property
    def note(self) -> str:
        """What a group is, in a sentence."""
        apart = ", ".join(map(axis, self.keys)) or "all cells together"
        return f"By {apart}{'; over ' + ', '.join(map(axis, self.over)) if self.over else ''}."


def groups(view: StudyView, limit: int | None = None) -> Groups:
    """The counted trials by cell; of more than `limit` cells, without the factors that have most levels."""
    kept = list(view.keys)
    levels = {t.name: view.levels({key: t.level_if_any(key) for key in view.keys}) for t in view.counted}
    while True:
        places = [view.keys.index(key) for key in kept]
        found: dict[str, list[Trial]] = {}
        for trial in view.counted:
            parts = [levels[trial.name][place] for place in places]
            found.setdefault(APART.join(part for part in parts if part != "–") or "all", []).append(trial)
        if limit is None or len(found) <= limit or not kept:
            return Groups(tuple(kept), tuple(key for key in view.keys if key not in kept), found)
        counts = {key: len({own[view.keys.index(key)] for own in levels.values()}) for key in kept}
        kept.remove(max(kept, key=lambda key: counts[key]))
