"""The summary run of a study in W&B (job type `summary`): its report's tables and charts, under the keys that
panels refer to.

It reads the same `StudyView` as the report and logs the report's own files, so dashboard and report agree.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs
import wandb

from limo_ablate.report.claims import Claims
from limo_ablate.report.factorial.heatmap import heatmap_table, is_crossed
from limo_ablate.report.figure_data import FigureData
from limo_ablate.report.page import report_parts, write_page
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
    claims: Claims | None
    figures: list[Chart]
    """Charts of the declared figures that could be drawn."""
    sections: list[Section]
    page: Path
    """Path of the report."""
    figure_data: list[FigureData]
    """Numbers of each panel of the declared figures."""
    tables: dict[str, pl.DataFrame]
    """Key in the run -> table; none is empty."""

    @property
    def pictures(self) -> list[Chart]:
        """All charts of the report."""
        of_claims = self.claims.section.charts if self.claims else ()
        everything = [*of_claims, *self.figures, *(chart for part in self.sections for chart in part.charts)]
        return [chart for chart in everything if chart.spec]

    def of(self, section: str) -> list[Chart]:
        """The charts of one section of the report."""
        return [chart for part in self.sections if part.id == section for chart in part.charts if chart.spec]

    def file(self, chart: Chart) -> Path:
        """The chart's file beside the report."""
        return self.page.with_name(f"{chart.id}.png")


def summary_run(view: StudyView) -> SummaryRun:
    """Writes the report again, so that the summary run matches the files. The study has a finished trial."""
    claims, figures, sections = report_parts(view)
    page = write_page(view, claims, figures, sections)
    figures = [chart for chart in figures if chart.spec]
    tables = {name: table for name, table in _tables(view, claims) if not table.is_empty()}
    return SummaryRun(view, claims, figures, sections, page, list(view.panels()), tables)


def picture_key(chart: Chart) -> str:
    return logged(f"picture/{chart.id}")


def points_key(data: FigureData) -> str:
    """Key of the table with a figure's points."""
    return f"points/{_name(data)}"


def _name(data: FigureData) -> str:
    return logged(slug(data.figure.title))


def _tables(view: StudyView, claims: Claims | None) -> Iterator[tuple[str, pl.DataFrame]]:
    yield "cells", view.cells.rename({key: flat(key) for key in view.keys})
    if claims:
        yield "contrasts", claims.rows
    for data in view.panels():
        axes = {"x": flat(data.figure.x), "line": flat(data.figure.line)}
        yield points_key(data), data.points.rename(axes)
        yield f"curve/{_name(data)}", _curve(data)
        if is_crossed(data):
            yield f"heatmap/{_name(data)}", heatmap_table(data).rename(axes)
    yield "failed", _failed(view)


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
    for earlier in {*folder.glob("*run-*"), *offline_runs(folder)}:
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
