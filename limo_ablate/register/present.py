"""A study as it has been run, in the words of its registration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from limo_ablate.effects import Trial


@dataclass(frozen=True, slots=True)
class Present:
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


def present(folder: Path, trials: Sequence[Trial]) -> dict[str, Present]:
    """The cells of the study in `folder` by key; `trials` are `load_trials` of it."""
    rows: list[dict[str, Any]] = json.loads((folder / "cells.json").read_text())
    return {row["key"]: Present(row["key"], trial) for row, trial in zip(rows, trials, strict=True)}
