"""A study's dashboard at W&B: workspace, report and a run that sums it up; see `limo-ablate dashboard`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limo_ablate.core.errors import UserError

if TYPE_CHECKING:
    from limo_ablate.report.study_view import StudyView
    from limo_ablate.report.wandb.summary_run import SummaryRun
    from limo_ablate.trial.track.config import TrackConfig

FOLDER = "dashboard"


def dashboard_of(study: str, overrides: list[str], *, offline: bool) -> list[str]:
    """The dashboard of a study by its name or folder; lines to print. Raises UserError."""
    from limo_ablate.study.folder import study_folder
    from limo_ablate.trial.compose import compose

    folder = study_folder(study, Path(compose(overrides).paths.studies))
    view = _finished(folder)
    return dashboard(view, _track(view, overrides, offline=offline))


def dashboard(view: StudyView, track: TrackConfig) -> list[str]:
    """Writes the specifications and the summary run, publishes them if online; what there is to say.

    Raises UserError when the server is away or refuses; the specifications are written by then.
    """
    from limo_ablate.report.wandb.summary_run import summary_run

    folder, summary = view.folder / FOLDER, summary_run(view)
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
    """As JSON, the same bytes for the same study; their paths."""
    from limo_ablate.report.wandb.board import same_ids, workspace
    from limo_ablate.report.wandb.document import document

    folder.mkdir(exist_ok=True)
    with same_ids(summary.view.study.name):
        made = {
            "workspace": workspace(summary, track.entity or "", track.project),
            "report": document(summary, "", track.project),
        }
        for name, one in made.items():
            model: Any = one._to_model()
            text = model.model_dump_json(by_alias=True, exclude_none=True)
            (folder / f"{name}.json").write_text(json.dumps(json.loads(text), indent=1) + "\n")
    return [str(folder / f"{name}.json") for name in made]


def _offline(summary: SummaryRun, track: TrackConfig, written: list[str], why: str) -> list[str]:
    from limo_ablate.report.wandb.summary_run import write_summary

    name = summary.view.folder  # a path is a study to each verb
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
    except Exception as error:  # of many kinds: W&B's, its service's, a reply without what it asked for
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"W&B's server did not take the dashboard ({said}); its specifications are in {folder}. "
            f"Was it deleted there? Then remove {folder / FILE}"
        ) from error


def _finished(folder: Path) -> StudyView:
    from limo_ablate.report.study_view import load

    view = load(folder)
    if not view.done:
        raise UserError(
            f"{folder}: no trial has finished; `limo-ablate status {folder.name}` says how far it is"
        )
    return view


def _track(view: StudyView, overrides: list[str], *, offline: bool) -> TrackConfig:
    """Where the study's trials are tracked, unless something else is asked for."""
    from limo_ablate.analysis.trials import resolved
    from limo_ablate.trial.compose import compose

    track, keys = compose(overrides).track, {text.partition("=")[0] for text in overrides}
    theirs = resolved(view.done[0].folder)["track"]
    entity, project = (
        getattr(track, name) if f"track.{name}" in keys else theirs[name] for name in ("entity", "project")
    )
    mode = "offline" if offline else track.mode
    return replace(track, entity=entity, project=project, mode=mode)
