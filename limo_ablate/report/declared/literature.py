"""What the papers report, beside what was measured here: points for a figure, and a section.

`literature.yaml` holds the numbers, with their sources and what to beware of. They are drawn where a figure's
score is that benchmark and its axis the one that the paper varied; models, rows and protocols are theirs.
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
COLUMNS = {"x": pl.Object, "line": pl.String, "mean": pl.Float64, "said": pl.String}


@dataclass(frozen=True, slots=True)
class Literature:
    benchmarks: dict[str, list[str]]
    """Name in the papers -> names of ours."""
    cautions: list[str]
    tables: list[dict[str, Any]]
    """name, short, source, axis?, points: level?, said, and a value in per cent for each benchmark."""

    def benchmark(self, score: str) -> str | None:
        """The papers' name of a score: of a benchmark as a whole, none of its groups."""
        return next((name for name, ours in self.benchmarks.items() if score in ours), None)


@cache
def literature() -> Literature:
    return Literature(**yaml.safe_load((HERE / "literature.yaml").read_text()))


def published(data: FigureData) -> pl.DataFrame:
    """Points of the papers that a figure can show: x, line (the paper), mean (0..1), said. Of categories,
    those that the figure has; of sizes, all above 0."""
    papers, here = literature(), {level(known) for known in data.levels}
    benchmark = papers.benchmark(data.figure.score)
    rows = [
        {
            "x": point["level"],
            "line": table["short"],
            "mean": round(point[benchmark] / 100, 4),
            "said": _said(table, point),
        }
        for table in papers.tables
        if table["axis"] == data.figure.x
        for point in table["points"]
        if benchmark in point and (point["level"] in here if data.scale == "category" else point["level"])
    ]
    kind = pl.String if data.scale == "category" else pl.Float64
    return pl.DataFrame(rows, schema=COLUMNS | {"x": kind})


def overlay_note(data: FigureData) -> str:
    """What the grey marks are; nothing where there are none."""
    if published(data).is_empty():
        return ""
    names = [table for table in literature().tables if table["axis"] == data.figure.x]
    said = "; ".join(f"{table['name']} ({table['source']})" for table in names)
    return f" Hollow grey: as published, other rows and protocols: {said}."


def section(view: StudyView) -> Section | None:
    """What the papers report on the study's benchmarks; nothing where they report on none of them."""
    papers = literature()
    found = [name for score in view.scores if (name := papers.benchmark(score))]
    if not found:
        return None
    rows = [
        [table["name"], point["said"], *(_value(point.get(name)) for name in found), table["source"]]
        for table in papers.tables
        for point in table["points"]
        if any(name in point for name in found)
    ]
    table = Table(["table", "what", *found, "source"], rows, 2)
    return Section("literature", "What the papers report", tuple(papers.cautions), table=table)


def _said(table: dict[str, Any], point: dict[str, Any]) -> str:
    return f"{table['name']}: {point['said']}"


def _value(percent: float | None) -> str:
    return "–" if percent is None else f"{percent:.1f}"
