"""Takes the looks of a sequential study while it runs, and releases more seeds where they are needed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from limo_ablate.core.errors import UserError
from limo_ablate.core.files import write_atomically
from limo_ablate.study.contrast import Contrast
from limo_ablate.study.design import Study
from limo_ablate.study.folder import LOOKS
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.study.stop import planned

if TYPE_CHECKING:
    from limo_ablate.analysis.looks import Looked
    from limo_ablate.analysis.trials import Trial


class Looks:
    """The looks of a study in `folder`, for one runner. Without `stop` all trials are released at once."""

    def __init__(self, study: Study, trials: Sequence[PlannedTrial], folder: Path) -> None:
        self._study, self._trials, self._folder = study, list(trials), folder

    def released(self) -> list[PlannedTrial]:
        """The trials that may run by now; those of earlier looks come first."""
        if self._study.stop is None:
            return self._trials
        from limo_ablate.analysis.looks import read_looks, released  # polars

        return released(self._trials, self._study, read_looks(self._folder))

    def check(self) -> None:
        """Raises UserError where what decides the looks has changed since the first was taken."""
        if not (self._folder / LOOKS).exists():
            return
        from limo_ablate.analysis.looks import read_looks, rule_changes  # polars

        if changed := rule_changes(self._study, read_looks(self._folder)):
            raise UserError(
                f"{self._folder / LOOKS}: looks have been taken, so what decides them can't change: "
                f"{'; '.join(changed)}. Restore it, or run it as another study (name=...), which finds what "
                "is trained already"
            )

    def due(self) -> bool:
        """Whether there is a look to come."""
        if self._study.stop is None:
            return False
        from limo_ablate.analysis.looks import open_contrasts, read_looks

        taken = read_looks(self._folder)
        return len(taken) < len(planned(self._study.stop)) and bool(open_contrasts(self._study, taken))

    def take(self) -> bool:
        """Takes the next look, if there is one; whether it released more trials. To be called under the
        queue's lock, with all released trials finished: so each look is taken once, by whatever runner."""
        if self._study.stop is None or not self.due():
            return False
        from limo_ablate.analysis.looks import Look, open_contrasts, read_looks, stopping_rule

        taken, looks = read_looks(self._folder), planned(self._study.stop)
        going_on = open_contrasts(self._study, taken)
        seeds = set(self._study.seeds[: looks[len(taken)]])
        trials = [trial for trial in self._read() if trial.seed in seeds]
        look = Look(
            seeds=looks[len(taken)],
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            contrasts=looked(self._study, going_on, trials, len(taken)),
            rule=stopping_rule(self._study),
        )
        write_atomically(self._folder / LOOKS, json.dumps([*taken, look], indent=1) + "\n")
        return bool(open_contrasts(self._study, [*taken, look]))

    def _read(self) -> list[Trial]:
        from limo_ablate.analysis.trials import read_trial

        return [
            read_trial(
                self._folder / "trials" / trial.folder,
                {
                    "name": trial.name, "key": trial.key, "seed": trial.seed, "blocks": trial.blocks,
                    "overrides": trial.labels(self._study.name).cell,
                },
            )
            for trial in self.released()
        ]  # fmt: skip


def looked(study: Study, going_on: Sequence[Contrast], trials: Sequence[Trial], number: int) -> list[Looked]:
    """What look `number` (from 0) shows of the contrasts, and decides."""
    from limo_ablate.analysis.answers import items
    from limo_ablate.analysis.contrasts import contrasts
    from limo_ablate.analysis.looks import Looked
    from limo_ablate.analysis.sequential import decision, nominal

    assert study.stop is not None
    axes = {block.name: list(block.factors()) for block in study.blocks}
    different, equivalent = nominal(study.stop, study.contrasts, number)
    rows = contrasts(going_on, axes, trials, items(trials, study.cluster), different)
    found = []
    for contrast, row in zip(going_on, rows.iter_rows(named=True), strict=True):
        share = 1 - (row["seed_error"] or 0) ** 2 / row["stderr"] ** 2 if row["stderr"] else None
        found.append(
            Looked(
                contrast=contrast.name, effect=row["effect"], low=row["low"], high=row["high"], p=row["p"],
                p_equivalent=row["p_equivalent"], level=different, equivalence_level=equivalent,
                item_share=share if share is None else max(share, 0.0),
                decision=decision(row, study.stop, study.contrasts, number, contrast.margin),
            )
        )  # fmt: skip
    return found
