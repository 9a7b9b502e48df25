"""Where the files of a trial's W&B run are, and its id. `folder` is `wandb` in the trial's folder."""

from __future__ import annotations

import re
import secrets
import shutil
from pathlib import Path

from limo_ablate.core.errors import UserError
from limo_ablate.core.files import write_atomically
from limo_ablate.core.reading import read_text

RUN_ID = "run_id"
"""File in `folder` with the run's id."""
RUNS_IN = "runs_in"
"""File in `folder` that names the folder in whose `wandb` the run is, where `track.dir` chose one."""


def run_id(folder: Path) -> str:
    """A random id that is stored in `folder`, so that equally named runs of two users stay apart."""
    path = folder / RUN_ID
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, secrets.token_hex(4))
    found = read_text(path).strip()
    if not re.fullmatch("[0-9a-f]{8}", found):  # files are looked for, and removed, by it
        raise UserError(f"{path}: {found[:40]!r} is not the id of a W&B run, which has 8 digits of 0-9a-f")
    return found


def run_place(folder: Path, chosen: str | None) -> Path:
    """The folder in whose `wandb` W&B writes: the chosen one, which is remembered, or the trial's own."""
    if chosen is None:
        (folder / RUNS_IN).unlink(missing_ok=True)
        return folder.parent
    place = Path(chosen).absolute()
    place.mkdir(parents=True, exist_ok=True)  # W&B would quietly take another one
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / RUNS_IN, str(place))
    return place


def offline_runs(folder: Path, chosen: str | None) -> list[Path]:
    """The folders of the trial's offline runs, sent or not: in its own, and in `chosen` (`track.dir`)."""
    runs = sorted(folder.glob("offline-run-*"))
    if chosen is None:
        return runs
    return [*runs, *sorted((Path(chosen).absolute() / "wandb").glob(f"offline-run-*-{run_id(folder)}"))]


def elsewhere(folder: Path) -> str | None:
    """The `track.dir` that the trial's last run had; None for one in the trial's own folder."""
    return read_text(folder / RUNS_IN).strip() if (folder / RUNS_IN).exists() else None


def drop_unsent(folder: Path, chosen: str | None) -> None:
    """Removes the offline runs of the trial that were not uploaded: the new run records everything again.

    `chosen`: the `track.dir` of this run. What else the folder names is left alone: it may be from others.
    """
    for run in offline_runs(folder, chosen):
        if not any(run.glob("*.synced")):
            shutil.rmtree(run)
