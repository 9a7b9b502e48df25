"""A study as it has been run, in the words of its registration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from limo_ablate.analysis import ANALYSIS
from limo_ablate.analysis.power import ALPHA
from limo_ablate.analysis.trials import Trial
from limo_ablate.study.design import Study


@dataclass(frozen=True, slots=True)
class CurrentTrial:
    """A cell of the study as it is now."""

    key: str
    trial: Trial

    @property
    def done(self) -> bool:
        return self.trial.metrics is not None

    def digest(self, stage: str) -> str | None:
        """Of an artifact of the finished trial: `selection`, `benchmark/mini`."""
        made: dict[str, str] = (self.trial.metrics or {}).get("artifacts", {}).get(stage, {})
        return made.get("digest")

    def finished_by(self, time: str) -> bool:
        """Whether its result was there at `time`, by the trial's own record."""
        if self.trial.metrics is None:
            return False
        started = json.loads((self.trial.folder / "provenance.json").read_text())["started"]
        took = timedelta(seconds=self.trial.metrics["total_seconds"])
        return datetime.fromisoformat(started) + took < datetime.fromisoformat(time)


def analysis_settings(study: Study) -> dict[str, Any]:
    """What decides, beside the answers, what a contrast comes to."""
    return {"alpha": ALPHA, "analysis": ANALYSIS, "cluster": study.cluster}


def current_trials(folder: Path, trials: Sequence[Trial]) -> list[CurrentTrial]:
    """The cells of the study in `folder`; `trials` are `load_trials` of it. Two searches may share a key."""
    rows: list[dict[str, Any]] = json.loads((folder / "cells.json").read_text())
    return [CurrentTrial(row["key"], trial) for row, trial in zip(rows, trials, strict=True)]
