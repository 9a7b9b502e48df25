"""Uploads runs that the W&B server does not have, each once; what `limo-ablate wandb-sync` does."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from limo_ablate.core.errors import EXIT_TRIALS_FAILED, UserError
from limo_ablate.core.files import check_links
from limo_ablate.core.python import environment, python
from limo_ablate.core.text import counted
from limo_ablate.trial.compose import compose
from limo_ablate.trial.config import TrackConfig
from limo_ablate.trial.track.places import elsewhere, offline_runs
from limo_ablate.trial.track.steps import UNSENT, Steps, running

TRIALS = ("outputs/trials/*/*", "outputs/wandb/*/*")
"""Folders of trials that belong to no study (`hydra.run.dir`)."""
BATCH = 16
"""Number of runs sent by one call of W&B's client, which takes a second to start; progress follows each."""


@dataclass(frozen=True, slots=True)
class Unsent:
    """A trial, or a study with its summary run, that is not (completely) on the server."""

    trial: Path
    chosen: str | None
    """`track.dir` as the user gives it."""

    @property
    def broken(self) -> bool:
        """Whether an online run failed midway."""
        return (self.trial / "wandb" / UNSENT).exists()

    @property
    def offline(self) -> list[Path]:
        """Offline runs that were not sent."""
        runs = offline_runs(self.trial / "wandb", self.chosen)
        return [run for run in runs if not any(run.glob("*.wandb.synced"))]


def sync(study: str | None, overrides: Sequence[str], *, trust: bool = False) -> int:
    """Sends all unsent runs; returns the exit code. Raises UserError without a key, a server, or such a
    study; and for one from elsewhere without `trust`."""
    config = compose(overrides)
    folders = list(_trials(Path(config.paths.studies), study, trust=trust))
    _check_places(folders, config.track.dir)
    trials = [Unsent(folder, config.track.dir) for folder in folders if not running(folder / "wandb")]
    unsent = [trial for trial in trials if trial.offline or trial.broken]
    if not unsent:
        print(f"nothing to send: all runs of {counted(len(folders), 'trial')} and summaries are in W&B")
        return 0
    from limo_ablate.trial.track.settings import check_access

    check_access()
    return _send(unsent, config.track, _given(config.track, overrides))


def _check_places(folders: Sequence[Path], chosen: str | None) -> None:
    """Raises UserError where a trial's run is said to be in another folder than the user gives."""
    for folder in folders:
        place = elsewhere(folder / "wandb")
        if place is not None and (chosen is None or Path(place) != Path(chosen).absolute()):
            raise UserError(
                f"{folder}: its W&B run is said to be in {place}; if it is yours, repeat the command with "
                f"'track.dir={place}'"
            )


def _trials(studies: Path, name: str | None, *, trust: bool) -> Iterator[Path]:
    """Folders of studies and their trials. Raises UserError for an unknown study, and for one elsewhere.

    W&B's client sends whatever files a run names.
    """
    if name is None:
        for study in sorted(place.parent for place in studies.glob("*/trials")):
            yield from _of_study(study)
        for pattern in TRIALS:
            yield from sorted(Path().glob(pattern))
        return
    folder = next((place for place in (studies / name, Path(name)) if (place / "trials").is_dir()), None)
    if folder is None:
        known = ", ".join(sorted(place.parent.name for place in studies.glob("*/trials"))) or "none"
        raise UserError(f"{name}: no study with trials in {studies}. There: {known}")
    if not trust and not folder.resolve().is_relative_to(studies.resolve()):
        raise UserError(
            f"{folder}: not a study of {studies}; W&B's client sends any file that a run names; "
            "if the runs are yours, repeat the command with --trust"
        )
    yield from _of_study(folder)


def _of_study(folder: Path) -> Iterator[Path]:
    check_links(folder)
    if (folder / "wandb").is_dir():
        yield folder
    yield from sorted((folder / "trials").iterdir())


def _given(track: TrackConfig, overrides: Sequence[str]) -> dict[str, str]:
    """Project and entity, where they are given as overrides; else a run goes to its trial's own."""
    keys = {override.partition("=")[0] for override in overrides}
    values = {"project": track.project, "entity": track.entity}
    return {name: value for name, value in values.items() if f"track.{name}" in keys and value}


def _send(unsent: list[Unsent], track: TrackConfig, given: dict[str, str]) -> int:
    """Sends all runs, printing a line for each; returns the exit code."""
    failed = 0
    target = [part for name, value in given.items() for part in (f"--{name}", value)]
    for start in range(0, len(unsent), BATCH):
        batch = unsent[start : start + BATCH]
        _wandb_sync([run for trial in batch for run in trial.offline], target)
        for number, trial in enumerate(batch, start + 1):
            reason = _resend(trial, track, given) if trial.broken else _check_sent(trial, target)
            failed += reason is not None
            outcome = "sent" if reason is None else f"not sent: {reason}"
            print(f"[{number}/{len(unsent)}] {trial.trial.name}: {outcome}", flush=True)
    return EXIT_TRIALS_FAILED if failed else 0


def _wandb_sync(runs: Sequence[Path], target: list[str]) -> str:
    """Output of W&B's client. It exits with 0 even if it fails, so only its marks show what was sent."""
    if not runs:
        return ""
    command = python("-m", "wandb", "sync", *target, *map(str, runs))
    with tempfile.TemporaryDirectory() as logs:
        variables = environment(WANDB_ERROR_REPORTING="false", WANDB_DIR=logs)
        result = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    return result.stdout + result.stderr


def _resend(trial: Unsent, track: TrackConfig, given: dict[str, str]) -> str | None:
    from limo_ablate.trial.track.resync import resync

    return resync(trial.trial, track.patience_seconds, given)


def _check_sent(trial: Unsent, target: list[str]) -> str | None:
    """Why a run was not sent; None if it was. An unreadable run keeps W&B from sending its whole batch."""
    output = _wandb_sync(trial.offline, target)
    if not trial.offline:
        Steps(trial.trial / "wandb").close(complete=True)  # if the trial resumes, it sends only new steps
        return None
    lines = [line.strip() for line in output.splitlines() if "ERROR" in line or "Failed" in line]
    return (lines or ["W&B gave no reason"])[-1]
