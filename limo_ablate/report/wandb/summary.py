"""The run that sums a study up: job type `summary`, in its trials' group; told again, it is replaced."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs
import wandb

from limo_ablate.report.wandb.summary_run import PAGE, Told, picture_key
from limo_ablate.trial.track.config import TrackConfig
from limo_ablate.trial.track.settings import environment, quiet, run_id, run_settings


def write_summary(told: Told, track: TrackConfig) -> None:
    """Tells it: offline into STUDY/wandb, online to the server, which W&B's errors say what is wrong with."""
    folder = told.view.folder / "wandb"
    name = run_id(folder)
    for earlier in folder.glob("*run-*"):
        if earlier.is_dir() and not earlier.is_symlink():
            shutil.rmtree(earlier)
    with environment(folder), quiet():
        try:
            with _run(told, track, name) as run:
                _log(run, told)
        finally:
            wandb.teardown()


def _run(told: Told, track: TrackConfig, name: str) -> Any:
    study = told.view.study
    return wandb.init(
        entity=track.entity,
        project=track.project,
        id=name,
        name=f"{study.name}: summary",
        group=study.name,
        job_type="summary",
        tags=["summary"],
        config={"study": study.name, "question": study.question, "seeds": list(study.seeds)},
        mode="offline" if track.mode == "offline" else "online",
        dir=str(told.view.folder),
        settings=run_settings(track, gpu=False, silent=True),
    )


def _log(run: Any, told: Told) -> None:
    run.log(
        {key: table(frame) for key, frame in told.tables.items()}
        | {
            picture_key(drawn): wandb.Image(str(told.file(drawn)), caption=drawn.note)
            for drawn in told.pictures
        }
        | {PAGE: wandb.Html(Path(told.page), inject=False)}
    )
    run.summary.update({"trials/finished": len(told.view.done), "trials/failed": len(told.view.failed)})


def table(frame: pl.DataFrame) -> Any:
    """A wandb.Table of the same columns and rows."""
    rows = frame.with_columns(cs.float().fill_nan(None)).rows()
    return wandb.Table(columns=frame.columns, data=[list(row) for row in rows], allow_mixed_types=True)
