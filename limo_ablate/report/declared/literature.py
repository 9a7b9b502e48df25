"""Published results beside the study's own: points for a figure, and a section of the report.

`literature.yaml` holds the numbers with their sources and cautions. They are drawn in figures of the same
benchmark over the axis that the paper varied; models, examples and protocols are those of the papers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import yaml

from limo_ablate.report.labels import level
from limo_ablate.report.section import Section, Table

if TYPE_CHECKING:
    from limo_ablate.report.figure_data import FigureData
    from limo_ablate.report.study_view import StudyView

HERE = Path(__file__).parent
COLUMNS = {"x": pl.Object, "line": pl.String, "mean": pl.Float64, "source": pl.String}


@dataclass(frozen=True, slots=True)
class Literature:
    benchmarks: dict[str, list[str]]
    """Name in the papers -> our names."""
    cautions: list[str]
    tables: list[dict[str, Any]]
    """name, short, source, axis?, points: level?, label, and a value in per cent for each benchmark."""

    def benchmark(self, score: str) -> str | None:
        """The papers' name of a score; None for groups of a benchmark, and for benchmarks they don't
        report."""
        return next((name for name, ours in self.benchmarks.items() if score in ours), None)


@cache
def literature() -> Literature:
    return Literature(**yaml.safe_load((HERE / "literature.yaml").read_text()))


def published(data: FigureData) -> pl.DataFrame:
    """Published points that a figure can show: x, line (the paper), mean (0..1), source. Of categories those
    that the figure has, of sizes all above 0."""
    papers, here = literature(), {level(known) for known in data.levels}
    benchmark = papers.benchmark(data.figure.score)
    rows = [
        {
            "x": point["level"],
            "line": table["short"],
            "mean": round(point[benchmark] / 100, 4),
            "source": f"{table['name']}: {point['label']}",
        }
        for table in papers.tables
        if table["axis"] == data.figure.x
        for point in table["points"]
        if benchmark in point and (point["level"] in here if data.scale == "category" else point["level"])
    ]
    kind = pl.String if data.scale == "category" else pl.Float64
    return pl.DataFrame(rows, schema=COLUMNS | {"x": kind})


def overlay_note(data: FigureData) -> str:
    """Caption of the grey marks; empty if there are none."""
    if published(data).is_empty():
        return ""
    tables = [table for table in literature().tables if table["axis"] == data.figure.x]
    sources = "; ".join(f"{table['name']} ({table['source']})" for table in tables)
    return f" Hollow grey: published results with other examples and protocols: {sources}."


def section(view: StudyView) -> Section | None:
    """Published results on the study's benchmarks; None if there are none."""
    papers = literature()
    benchmarks = [name for score in view.scores if (name := papers.benchmark(score))]
    if not benchmarks:
        return None
    rows = [
        [table["name"], point["label"], *(_value(point.get(name)) for name in benchmarks), table["source"]]
        for table in papers.tables
        for point in table["points"]
        if any(name in point for name in benchmarks)
    ]
    table = Table(["table", "result", *benchmarks, "source"], rows, 2)
    return Section("literature", "Published results", tuple(papers.cautions), table=table)


def _value(percent: float | None) -> str:
    return "–" if percent is None else f"{percent:.1f}"
