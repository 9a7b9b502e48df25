"""The summary run of a study in W&B (job type `summary`): its report's tables and charts, under the keys that
panels refer to.

It reads the same `StudyView` as the report and logs the report's own files, so dashboard and report agree.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs
import wandb

from limo_ablate.report.claims import Claims
from limo_ablate.report.factorial.heatmap import heatmap_table, is_crossed
from limo_ablate.report.figure_data import FigureData
from limo_ablate.report.page import write_page
from limo_ablate.report.part_errors import PartErrors
from limo_ablate.report.parts import ReportParts, report_parts
from limo_ablate.report.section import Chart, Section, slug
from limo_ablate.report.study_view import StudyView
from limo_ablate.trial.config import TrackConfig
from limo_ablate.trial.track.names import flat, logged, own_tags
from limo_ablate.trial.track.places import offline_runs, run_id, run_place
from limo_ablate.trial.track.settings import environment, quiet, run_settings

PAGE = "report"
"""Key of the report's page."""


@dataclass(frozen=True, slots=True)
class SummaryRun:
    view: StudyView
    parts: ReportParts
    page: Path
    """Path of the report."""
    figure_data: list[FigureData]
    """Numbers of each panel of the declared figures."""
    tables: dict[str, pl.DataFrame]
    """Key in the run -> table; none is empty."""

    @property
    def pictures(self) -> list[Chart]:
        """All charts of the report that could be drawn."""
        return [chart for chart in self.parts.charts if chart.spec]

    @property
    def claims(self) -> Claims | None:
        """The contrasts; None if there are none, or they could not be drawn."""
        return self.parts.claims if isinstance(self.parts.claims, Claims) else None

    @property
    def figures(self) -> list[Chart]:
        """Charts of the declared figures that could be drawn."""
        return [chart for chart in self.parts.figures if chart.spec]

    def of(self, section: str) -> list[Chart]:
        """The charts of one section of the report."""
        return [
            chart for part in self.parts.sections if part.id == section for chart in part.charts if chart.spec
        ]

    def file(self, chart: Chart) -> Path:
        """The chart's file beside the report."""
        return self.page.with_name(f"{chart.id}.png")


def summary_run(view: StudyView, errors: PartErrors) -> SummaryRun:
    """Writes the report again, so that the summary run matches the files. The study has a finished trial."""
    parts, files = report_parts(view, errors)
    drawn = {
        name: errors.isolate(f"Table {name}", draw, lambda error: pl.DataFrame())
        for name, draw in _tables(view, parts.claims)
    }
    page = write_page(view, parts, files, errors)
    tables = {name: table for name, table in drawn.items() if not table.is_empty()}
    return SummaryRun(view, parts, page, list(view.panels(of_accuracy=True)), tables)


def picture_key(chart: Chart) -> str:
    return logged(f"picture/{chart.id}")


def points_key(data: FigureData) -> str:
    """Key of the table with a figure's points."""
    return f"points/{_name(data)}"


def _name(data: FigureData) -> str:
    return logged(slug(data.figure.title))


def _tables(
    view: StudyView, contrasts: Claims | Section | None
) -> Iterator[tuple[str, Callable[[], pl.DataFrame]]]:
    """Key in the run, and the function that makes its table."""
    yield "cells", lambda: view.cells.rename({key: flat(key) for key in view.keys})
    if isinstance(contrasts, Claims):
        yield "contrasts", lambda: contrasts.rows
    for data in view.panels(of_accuracy=True):
        axes = {"x": flat(data.figure.x), "line": flat(data.figure.line)}
        yield points_key(data), partial(data.points.rename, axes)
        yield f"curve/{_name(data)}", partial(_curve, data)
        if is_crossed(data):
            yield f"heatmap/{_name(data)}", partial(_heatmap, data, axes)
    yield "failed", partial(_failed, view)


def _heatmap(data: FigureData, axes: dict[str, str]) -> pl.DataFrame:
    return heatmap_table(data).rename(axes)


def _curve(data: FigureData) -> pl.DataFrame:
    """The fitted curve of each line with its simultaneous band."""
    x, line = flat(data.figure.x), flat(data.figure.line)
    report_parts = []
    for name, curve in (data.fits.curves if data.fits else {}).items():
        low, high = curve.band()
        part = pl.DataFrame({x: curve.grid, "accuracy": curve.fitted, "low": low, "high": high})
        report_parts.append(part.with_columns(pl.lit(name).alias(line), pl.lit(curve.form).alias("form")))
    return pl.concat(report_parts) if report_parts else pl.DataFrame()


def _failed(view: StudyView) -> pl.DataFrame:
    """Failed trials with their reasons."""
    rows = [
        {"trial": trial.name, "seed": trial.seed}
        | {key: str(value) for key, value in (trial.failure or {}).items()}
        for trial in view.failed
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def write_summary(summary: SummaryRun, track: TrackConfig) -> None:
    """Writes the run into STUDY/wandb, or sends it to the server if online. Replaces an earlier summary
    run."""
    folder = summary.view.folder / "wandb"
    name = run_id(folder)
    for earlier in {*folder.glob("*run-*"), *offline_runs(folder, track.dir)}:
        if earlier.is_dir() and not earlier.is_symlink():
            shutil.rmtree(earlier)
    with environment(folder), quiet():
        try:
            with _run(summary, track, name) as run:
                _log(run, summary)
        finally:
            wandb.teardown()


def _run(summary: SummaryRun, track: TrackConfig, name: str) -> Any:
    study = summary.view.study
    return wandb.init(
        entity=track.entity,
        project=track.project,
        id=name,
        name=f"{study.name}: summary",
        group=study.name,
        job_type="summary",
        tags=["summary", *own_tags(track.tags)],
        config={"study": study.name, "question": study.question, "seeds": list(study.seeds)},
        mode="offline" if track.mode == "offline" else "online",
        dir=str(run_place(summary.view.folder / "wandb", track.dir)),
        settings=run_settings(track, gpu=False, silent=True),
    )


def _log(run: Any, summary: SummaryRun) -> None:
    run.log(
        {key: table(frame) for key, frame in summary.tables.items()}
        | {
            picture_key(chart): wandb.Image(str(summary.file(chart)), caption=chart.note)
            for chart in summary.pictures
        }
        | {PAGE: wandb.Html(Path(summary.page), inject=False)}
    )
    view = summary.view
    run.summary.update({"trials/finished": len(view.done), "trials/failed": len(view.failed)})
    run.summary["trials/stale"] = sum(bool(trial.stale) for trial in view.trials)


def table(frame: pl.DataFrame) -> Any:
    """The frame as a wandb.Table."""
    rows = frame.with_columns(cs.float().fill_nan(None)).rows()
    return wandb.Table(columns=frame.columns, data=[list(row) for row in rows], allow_mixed_types=True)
