"""What the summary run of a study says: the numbers and pictures of its report, by the names panels use.

Both read the same `StudyView`, and the pictures are the report's own files: dashboard and report agree.
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
from limo_ablate.trial.track.config import TrackConfig
from limo_ablate.trial.track.names import flat, logged
from limo_ablate.trial.track.settings import environment, quiet, run_id, run_settings

PAGE = "report"
"""Key of the report's page."""


@dataclass(frozen=True, slots=True)
class SummaryRun:
    view: StudyView
    claims: Claims | None
    figures: list[Chart]
    """The declared ones that could be drawn."""
    sections: list[Section]
    page: Path
    """The report."""
    figure_data: list[FigureData]
    """Numbers of each panel of the declared figures."""
    tables: dict[str, pl.DataFrame]
    """By their keys in the run; none is empty."""

    @property
    def pictures(self) -> list[Chart]:
        """All that the report draws."""
        of_claims = self.claims.section.charts if self.claims else ()
        everything = [*of_claims, *self.figures, *(drawn for part in self.sections for drawn in part.charts)]
        return [drawn for drawn in everything if drawn.spec]

    def of(self, section: str) -> list[Chart]:
        """The pictures of one section of the report."""
        return [drawn for part in self.sections if part.id == section for drawn in part.charts if drawn.spec]

    def file(self, drawn: Chart) -> Path:
        """The picture that the report has beside its page."""
        return self.page.with_name(f"{drawn.id}.png")


def summary_run(view: StudyView) -> SummaryRun:
    """Draws the report anew: what is told must be what is on disk. The study has a finished trial."""
    made, figures, sections = report_parts(view)
    page = write_page(view, made, figures, sections)
    figures = [drawn for drawn in figures if drawn.spec]
    tables = {name: table for name, table in _tables(view, made) if not table.is_empty()}
    return SummaryRun(view, made, figures, sections, page, list(view.panels()), tables)


def picture_key(drawn: Chart) -> str:
    return logged(f"picture/{drawn.id}")


def points_key(data: FigureData) -> str:
    """Key of the table of a figure's points."""
    return f"points/{_name(data)}"


def _name(data: FigureData) -> str:
    return logged(slug(data.figure.title))


def _tables(view: StudyView, made: Claims | None) -> Iterator[tuple[str, pl.DataFrame]]:
    yield "cells", view.cells.rename({key: flat(key) for key in view.keys})
    if made:
        yield "contrasts", made.rows
    for data in view.panels():
        axes = {"x": flat(data.figure.x), "line": flat(data.figure.line)}
        yield points_key(data), data.points.rename(axes)
        yield f"curve/{_name(data)}", _curve(data)
        if is_crossed(data):
            yield f"heatmap/{_name(data)}", heatmap_table(data).rename(axes)
    yield "failed", _failed(view)


def _curve(data: FigureData) -> pl.DataFrame:
    """The fitted curve of each line, with its simultaneous band."""
    x, line = flat(data.figure.x), flat(data.figure.line)
    report_parts = []
    for name, curve in (data.fits.curves if data.fits else {}).items():
        low, high = curve.band()
        part = pl.DataFrame({x: curve.grid, "accuracy": curve.fitted, "low": low, "high": high})
        report_parts.append(part.with_columns(pl.lit(name).alias(line), pl.lit(curve.form).alias("form")))
    return pl.concat(report_parts) if report_parts else pl.DataFrame()


def _failed(view: StudyView) -> pl.DataFrame:
    """Trials without a result, and why."""
    rows = [
        {"trial": trial.name, "seed": trial.seed}
        | {key: str(said) for key, said in (trial.failure or {}).items()}
        for trial in view.failed
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def write_summary(summary: SummaryRun, track: TrackConfig) -> None:
    """Tells it: offline into STUDY/wandb, online to the server, which W&B's errors say what is wrong with."""
    folder = summary.view.folder / "wandb"
    name = run_id(folder)
    for earlier in folder.glob("*run-*"):
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
        tags=["summary"],
        config={"study": study.name, "question": study.question, "seeds": list(study.seeds)},
        mode="offline" if track.mode == "offline" else "online",
        dir=str(summary.view.folder),
        settings=run_settings(track, gpu=False, silent=True),
    )


def _log(run: Any, summary: SummaryRun) -> None:
    run.log(
        {key: table(frame) for key, frame in summary.tables.items()}
        | {
            picture_key(drawn): wandb.Image(str(summary.file(drawn)), caption=drawn.note)
            for drawn in summary.pictures
        }
        | {PAGE: wandb.Html(Path(summary.page), inject=False)}
    )
    run.summary.update({"trials/finished": len(summary.view.done), "trials/failed": len(summary.view.failed)})


def table(frame: pl.DataFrame) -> Any:
    """A wandb.Table of the same columns and rows."""
    rows = frame.with_columns(cs.float().fill_nan(None)).rows()
    return wandb.Table(columns=frame.columns, data=[list(row) for row in rows], allow_mixed_types=True)
