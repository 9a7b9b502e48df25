"""A study's trials as they are now, with what is compared to the registration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from limo_ablate.analysis import ANALYSIS
from limo_ablate.analysis.power import ALPHA
from limo_ablate.analysis.trials import Trial, read_cells, resolved
from limo_ablate.study.design import Study


@dataclass(frozen=True, slots=True)
class CurrentTrial:
    """A trial of the study with its key."""

    key: str
    trial: Trial

    @property
    def done(self) -> bool:
        return self.trial.metrics is not None

    def digest(self, stage: str) -> str | None:
        """Digest of an artifact of the finished trial: `selection`, `benchmark/mini`."""
        artifact: dict[str, str] = self._metrics.get("artifacts", {}).get(stage, {})
        return artifact.get("digest")

    def finished_by(self, time: str) -> bool:
        """Whether the trial had finished at `time`, by its own record."""
        return self.done and _at(self._metrics["finished"]) < _at(time)

    def answered_by(self, time: str) -> bool:
        """Whether answers of the trial were in the store at `time`, from whichever study. Those of a teacher
        or a reference model are none of its own."""
        artifacts = self._metrics.get("artifacts", {})
        benchmarks = resolved(self.trial.folder)["eval"]["benchmarks"] if artifacts else ()
        stages = [f"{kind}/{name}" for kind in ("completions", "verdicts") for name in benchmarks]
        made = [artifacts[stage]["made"] for stage in stages if stage in artifacts]
        return any(one is None or _at(one) < _at(time) for one in made)

    @property
    def _metrics(self) -> dict[str, Any]:
        return self.trial.metrics or {}


def _at(time: str) -> datetime:
    return datetime.fromisoformat(time)


def analysis_settings(study: Study) -> dict[str, Any]:
    """Settings that decide a contrast's result beside the verdicts."""
    return {"alpha": ALPHA, "analysis": ANALYSIS, "cluster": study.cluster}


def current_trials(folder: Path, trials: Sequence[Trial]) -> list[CurrentTrial]:
    """The trials of the study in `folder` (from `load_trials`) with their keys. Two searches may share a
    key."""
    rows = zip(read_cells(folder), trials, strict=True)
    return [CurrentTrial(row["key"], trial) for row, trial in rows]
