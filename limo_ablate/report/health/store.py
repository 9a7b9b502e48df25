"""Where the artifacts lie that trials were made from; they may be gone while the trials' folders stay."""

from __future__ import annotations

from pathlib import Path

from limo_ablate.analysis.trials import Trial, resolved
from limo_ablate.report.load import StudyView

SEEN_AS = "seen_as"
"""In a study's folder: its path from where the sweep ran, which the store's path is from, too."""


def artifact(view: StudyView, trial: Trial, stage: str) -> Path | None:
    """The folder of the trial's artifact of this stage; None without one, or where it is gone."""
    made: dict[str, str] | None = (trial.metrics or {}).get("artifacts", {}).get(stage)
    if made is None:
        return None
    name, root = stage.partition("/")[0], Path(resolved(trial.folder)["paths"]["artifacts"])
    for base in (Path(), *_started(view.folder)):
        if (found := base / root / name / made["key"]).is_dir():
            return found
    return None


def _started(study: Path) -> list[Path]:
    """The folder in which the sweep was started, as far as the study's folder tells."""
    if not (study / SEEN_AS).exists():
        return []
    seen, here = Path((study / SEEN_AS).read_text().strip()), study.resolve()
    count = len(seen.parts)
    return [here.parents[count - 1]] if here.parts[-count:] == seen.parts else []
