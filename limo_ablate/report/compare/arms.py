"""Finds the trials of an arm by name (as `status` shows it), part of a name, or folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limo_ablate.analysis.results import read_metrics
from limo_ablate.analysis.trials import CELLS, Trial, load_trials
from limo_ablate.core.errors import UserError
from limo_ablate.core.typed import nearest
from limo_ablate.study.design import load_study

STUDY = "study.yaml"
SHOWN = 6
"""Maximum number of names in an error message."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One trial, or the trials of a cell, which differ only in the seed. At least one has finished."""

    name: str
    study: str | None
    trials: tuple[Trial, ...]
    """The finished trials."""
    cluster: str | None = None
    """What its study clusters problems by."""

    @property
    def seeds(self) -> list[int]:
        return sorted({trial.seed for trial in self.trials})

    def __str__(self) -> str:
        return f"{self.study}/{self.name}" if self.study else self.name


def find_arm(text: str, studies: Sequence[Path]) -> Arm:
    """The trial or cell named by `text`, see `find_named`; with its finished trials only.

    Raises UserError also if none of its trials has finished.
    """
    return _finished(find_named(text, studies))


def find_named(text: str, studies: Sequence[Path]) -> Arm:
    """The trial or cell named by `text`: a folder, `STUDY/NAME`, NAME, or a part of exactly one NAME.

    Raises UserError if there is none, or if several match.
    """
    if (Path(text) / "config.yaml").is_file():
        return _of_folder(Path(text))
    study, _, rest = text.rpartition("/")
    if study:
        studies, text = [_named(study, studies)], rest
    known = {folder.name: named_arms(load_trials(folder)) for folder in studies if (folder / CELLS).is_file()}
    every = [Arm(name, study, trials) for study, own in known.items() for name, trials in own.items()]
    for matches in (
        [arm for arm in every if arm.name == text],
        [arm for arm in every if not _is_cell(arm) and arm.trials[0].folder.name == text],
        [arm for arm in every if text in arm.name and _is_cell(arm)],
        [arm for arm in every if text in arm.name],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise UserError(_several(text, matches))
    near = nearest(text, [arm.name for arm in every])
    raise UserError(f"{text}: no trial or cell of {', '.join(known) or 'any study'}{near}")


def named_arms(trials: Sequence[Trial]) -> dict[str, tuple[Trial, ...]]:
    """Name -> trials, for single trials and for cells: `size64-L5-s0` and `size64-L5`."""
    arms: dict[str, tuple[Trial, ...]] = {trial.name: (trial,) for trial in trials}
    for trial in trials:
        cell = trial.name.removesuffix(f"-s{trial.seed}")
        if cell != trial.name:
            arms[cell] = (*arms.get(cell, ()), trial)
    return arms


def _is_cell(arm: Arm) -> bool:
    return arm.trials[0].name != arm.name


def _of_folder(folder: Path) -> Arm:
    """The arm of a trial's folder, in a study or on its own."""
    study = folder.absolute().parent.parent
    if (study / CELLS).is_file():
        for trial in load_trials(study):
            if trial.folder.name == folder.name:
                return Arm(trial.name, study.name, (trial,), _cluster(trial))
    metrics = read_metrics(folder) or {}
    cell = dict(metrics.get("cell", {}))
    trial = Trial(folder.name, folder, metrics.get("seed", 0), (), cell, dict(metrics) or None, None)
    return Arm(folder.name, None, (trial,))


def _named(study: str, studies: Sequence[Path]) -> Path:
    for folder in studies:
        if folder.name == study or folder == Path(study):
            return folder
    known = [folder.name for folder in studies]
    raise UserError(f"{study}: no such study{nearest(study, known)} Known: {', '.join(known)}")


def _finished(arm: Arm) -> Arm:
    finished = tuple(trial for trial in arm.trials if trial.metrics)
    if not finished:
        raise UserError(f"{arm}: none of its {len(arm.trials)} trials has finished")
    return Arm(arm.name, arm.study, finished, _cluster(finished[0]))


def _cluster(trial: Trial) -> str | None:
    """`cluster` of the trial's study; None for a trial without a study."""
    file = trial.folder.absolute().parent.parent / STUDY
    return load_study(str(file)).cluster if file.is_file() else None


def _several(text: str, matches: Sequence[Arm]) -> str:
    names = [str(match) for match in matches]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{text} matches {len(names)} names: {', '.join(names[:SHOWN])}{more}; give more of the name"
