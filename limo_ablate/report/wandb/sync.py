"""Uploads runs that the W&B server does not have, each once; what `limo-ablate wandb-sync` does."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from limo_ablate.core.errors import EXIT_TRIALS_FAILED, UserError
from limo_ablate.trial.compose import compose
from limo_ablate.trial.track.config import TrackConfig
from limo_ablate.trial.track.steps import UNSENT, Steps, running

TRIALS = ("outputs/trials/*/*", "outputs/wandb/*/*")
"""Where trials that belong to no study are kept (`hydra.run.dir`)."""
BATCH = 16
"""Runs handed to W&B at once: its client takes a second to start, and there is news after each batch."""


@dataclass(frozen=True, slots=True)
class Unsent:
    """A trial whose run the server has not, or not whole; or a study, whose run sums it up."""

    trial: Path

    @property
    def broken(self) -> bool:
        """Whether it is an online run that broke."""
        return (self.trial / "wandb" / UNSENT).exists()

    @property
    def offline(self) -> list[Path]:
        """Its offline runs that were not sent."""
        runs = sorted((self.trial / "wandb").glob("offline-run-*"))
        return [run for run in runs if not any(run.glob("*.wandb.synced"))]


def sync(study: str | None, overrides: Sequence[str]) -> int:
    """Returns the exit code. Raises UserError without a key, a server, or such a study."""
    config = compose(overrides)
    folders = list(_trials(Path(config.paths.studies), study))
    trials = [Unsent(folder) for folder in folders if not running(folder / "wandb")]
    found = [trial for trial in trials if trial.offline or trial.broken]
    if not found:
        print(f"nothing to send: {len(folders)} trials and summaries, none with a run that is not at W&B")
        return 0
    from limo_ablate.trial.track.settings import check_access

    check_access()
    return _send(found, config.track, _target(config.track, overrides))


def _trials(studies: Path, name: str | None) -> Iterator[Path]:
    """The folders of trials, each study's own before them. Raises UserError for a study that is not there."""
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
    yield from _of_study(folder)


def _of_study(folder: Path) -> Iterator[Path]:
    if (folder / "wandb").is_dir():
        yield folder
    yield from sorted((folder / "trials").iterdir())


def _target(track: TrackConfig, overrides: Sequence[str]) -> list[str]:
    """W&B's own flags for a project or an entity that was asked for."""
    keys = {override.partition("=")[0] for override in overrides}
    asked = {"--project": ("track.project", track.project), "--entity": ("track.entity", track.entity)}
    return [part for flag, (key, value) in asked.items() if key in keys and value for part in (flag, value)]


def _send(found: list[Unsent], track: TrackConfig, target: list[str]) -> int:
    """Sends all, a line each; the exit code."""
    failed = 0
    for start in range(0, len(found), BATCH):
        batch = found[start : start + BATCH]
        _wandb_sync([run for trial in batch for run in trial.offline], target)
        for number, trial in enumerate(batch, start + 1):
            reason = _retold(trial, track) if trial.broken else _settled(trial, target)
            failed += reason is not None
            outcome = "sent" if reason is None else f"not sent: {reason}"
            print(f"[{number}/{len(found)}] {trial.trial.name}: {outcome}", flush=True)
    return EXIT_TRIALS_FAILED if failed else 0


def _wandb_sync(runs: Sequence[Path], target: list[str]) -> str:
    """What W&B's client said; it exits with 0 also where it failed, so only its marks tell what was sent."""
    if not runs:
        return ""
    command = [sys.executable, "-m", "wandb", "sync", *target, *map(str, runs)]
    with tempfile.TemporaryDirectory() as logs:
        environment = os.environ | {"WANDB_ERROR_REPORTING": "false", "WANDB_DIR": logs}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def _retold(trial: Unsent, track: TrackConfig) -> str | None:
    from limo_ablate.trial.track.resync import resync

    return resync(trial.trial, track)


def _settled(trial: Unsent, target: list[str]) -> str | None:
    """Why it is not sent; None when it is. One that can't be read had W&B send none of its batch."""
    said = _wandb_sync(trial.offline, target)
    if not trial.offline:
        Steps(trial.trial / "wandb").close(complete=True)  # should the trial go on, it tells only what is new
        return None
    lines = [line.strip() for line in said.splitlines() if "ERROR" in line or "Failed" in line]
    return (lines or ["W&B did not say why"])[-1]
