"""A study's dashboard in W&B: workspace, report and summary run; see `limo-ablate dashboard`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.files import write_atomically
from limo_ablate.core.permissions import use_umask
from limo_ablate.report.cli import print_failed
from limo_ablate.report.part_errors import PartErrors
from limo_ablate.study.folder import REPORT

if TYPE_CHECKING:
    from limo_ablate.report.study_view import StudyView
    from limo_ablate.report.wandb.summary_run import SummaryRun
    from limo_ablate.trial.config import TrackConfig

FOLDER = "dashboard"


def dashboard_of(study: str, overrides: list[str], *, offline: bool) -> int:
    """Makes the dashboard of a study, by its name or folder; returns the exit code. Raises UserError."""
    from limo_ablate.study.folder import study_folder
    from limo_ablate.trial.compose import compose

    paths = compose(overrides).paths
    use_umask(paths.umask)
    folder = study_folder(study, Path(paths.studies))
    view = _finished(folder)
    errors = PartErrors()
    for line in dashboard(view, _track(view, overrides, offline=offline), errors):
        print(line)
    return print_failed(errors.failed, view.folder / REPORT)


def dashboard(view: StudyView, track: TrackConfig, errors: PartErrors) -> list[str]:
    """Writes the specifications and the summary run, publishes them if online; returns lines to print.

    Raises UserError if the server can't be reached or refuses; the specifications are written by then.
    """
    from limo_ablate.report.wandb.summary_run import summary_run

    folder, summary = view.folder / FOLDER, summary_run(view, errors)
    written = write_specifications(summary, track, folder)
    if track.mode != "online":
        return _offline(summary, track, written, f"track.mode={track.mode}")
    from limo_ablate.trial.track.settings import NoKey, check_access

    try:
        check_access()
    except NoKey as error:
        return _offline(summary, track, written, str(error))
    except UserError as error:
        raise UserError(f"{error}; the specifications are in {folder}") from error
    return _online(summary, track, folder)


def write_specifications(summary: SummaryRun, track: TrackConfig, folder: Path) -> list[str]:
    """Writes the specifications as JSON, byte for byte the same for the same study; returns their paths."""
    from limo_ablate.report.wandb.board import same_ids, workspace
    from limo_ablate.report.wandb.document import document

    folder.mkdir(exist_ok=True)
    with same_ids(summary.view.study.name):
        specifications = {
            "workspace": workspace(summary, track.entity or "", track.project),
            "report": document(summary, "", track.project),
        }
        for name, specification in specifications.items():
            model: Any = specification._to_model()
            text = model.model_dump_json(by_alias=True, exclude_none=True)
            write_atomically(folder / f"{name}.json", json.dumps(json.loads(text), indent=1) + "\n")
    return [str(folder / f"{name}.json") for name in specifications]


def _offline(summary: SummaryRun, track: TrackConfig, written: list[str], why: str) -> list[str]:
    from limo_ablate.report.wandb.summary_run import write_summary

    name = summary.view.folder  # every command accepts a study's folder
    write_summary(summary, replace(track, mode="offline"))
    return [
        *written,
        f"not published ({why}): `wandb login`, then `limo-ablate wandb-sync {name}` sends the runs and "
        f"`WANDB_MODE=online limo-ablate dashboard {name}` publishes it",
    ]


def _online(summary: SummaryRun, track: TrackConfig, folder: Path) -> list[str]:
    import wandb

    from limo_ablate.report.wandb.board import same_ids, workspace
    from limo_ablate.report.wandb.document import document
    from limo_ablate.report.wandb.publish import FILE, publish
    from limo_ablate.report.wandb.summary_run import write_summary

    try:
        entity = track.entity or wandb.Api().default_entity
        write_summary(summary, track)
        with same_ids(summary.view.study.name):
            board, report = (
                workspace(summary, entity, track.project),
                document(summary, entity, track.project),
            )
        return publish(folder, board, report)
    except Exception as error:  # W&B, its service and unexpected replies raise many kinds of exceptions
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"W&B's server rejected the dashboard ({reason}); its specifications are in {folder}. "
            f"If it was deleted there, remove {folder / FILE}"
        ) from error


def _finished(folder: Path) -> StudyView:
    from limo_ablate.report.study_view import load

    view = load(folder)
    if not view.done:
        raise UserError(
            f"{folder}: no trial has finished; `limo-ablate status {folder.name}` says how far it is"
        )
    if view.study.imported:
        raise UserError(f"{folder}: imported from logs, which have no W&B runs; the report has its figures")
    return view


def _track(view: StudyView, overrides: list[str], *, offline: bool) -> TrackConfig:
    """Entity and project of the study's trials, unless overridden."""
    from limo_ablate.analysis.trials import resolved
    from limo_ablate.trial.compose import compose

    track, keys = compose(overrides).track, {text.partition("=")[0] for text in overrides}
    theirs = resolved(view.done[0].folder)["track"]
    entity, project = (
        getattr(track, name) if f"track.{name}" in keys else theirs[name] for name in ("entity", "project")
    )
    mode = "offline" if offline else track.mode
    return replace(track, entity=entity, project=project, mode=mode)
