"""What the summary run of a study says: the numbers and pictures of its report, by the names panels use.

Both read the same `StudyView`, and the pictures are the report's own files: dashboard and report agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from limo_ablate.report.claims import Claims
from limo_ablate.report.declared.figures import FigureData
from limo_ablate.report.factorial.heatmap import crossed, numbers
from limo_ablate.report.load import StudyView
from limo_ablate.report.page import parts, write_page
from limo_ablate.report.section import Drawn, Section, slug
from limo_ablate.trial.track.names import flat, logged

PAGE = "report"
"""Key of the report's page."""


@dataclass(frozen=True, slots=True)
class Told:
    view: StudyView
    claims: Claims | None
    figures: list[Drawn]
    """The declared ones that could be drawn."""
    sections: list[Section]
    page: Path
    """The report."""
    numbers: list[FigureData]
    """Those of the declared figures, a panel each."""
    tables: dict[str, pl.DataFrame]
    """By their keys in the run; none is empty."""

    @property
    def pictures(self) -> list[Drawn]:
        """All that the report draws."""
        of_claims = self.claims.section.drawn if self.claims else ()
        everything = [*of_claims, *self.figures, *(drawn for part in self.sections for drawn in part.drawn)]
        return [drawn for drawn in everything if drawn.spec]

    def of(self, section: str) -> list[Drawn]:
        """The pictures of one section of the report."""
        return [drawn for part in self.sections if part.id == section for drawn in part.drawn if drawn.spec]

    def file(self, drawn: Drawn) -> Path:
        """The picture that the report has beside its page."""
        return self.page.with_name(f"{drawn.id}.png")


def told(view: StudyView) -> Told:
    """Draws the report anew: what is told must be what is on disk. The study has a finished trial."""
    made, figures, sections = parts(view)
    page = write_page(view, made, figures, sections)
    figures = [drawn for drawn in figures if drawn.spec]
    tables = {name: table for name, table in _tables(view, made) if not table.is_empty()}
    return Told(view, made, figures, sections, page, list(view.panels()), tables)


def picture_key(drawn: Drawn) -> str:
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
        if crossed(data):
            yield f"heatmap/{_name(data)}", numbers(data).rename(axes)
    yield "failed", _failed(view)


def _curve(data: FigureData) -> pl.DataFrame:
    """The fitted curve of each line, with its simultaneous band."""
    x, line = flat(data.figure.x), flat(data.figure.line)
    parts = []
    for name, curve in (data.fits.curves if data.fits else {}).items():
        low, high = curve.band()
        part = pl.DataFrame({x: curve.grid, "accuracy": curve.fitted, "low": low, "high": high})
        parts.append(part.with_columns(pl.lit(name).alias(line), pl.lit(curve.form).alias("form")))
    return pl.concat(parts) if parts else pl.DataFrame()


def _failed(view: StudyView) -> pl.DataFrame:
    """Trials without a result, and why."""
    rows = [
        {"trial": trial.name, "seed": trial.seed}
        | {key: str(said) for key, said in (trial.failure or {}).items()}
        for trial in view.failed
    ]
    return pl.DataFrame(rows, infer_schema_length=None)
