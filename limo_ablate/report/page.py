"""The report as a page: figures drawn, tables and words filled in, everything inlined.

Model and data text is escaped by the template. On top of that the page's own policy lets no script run
but ours (by a nonce no text can know) and no request leave.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from limo_ablate.errors import UserError
from limo_ablate.report.cells import Table, cell_table, figure_table
from limo_ablate.report.charts import efficiency_chart, note
from limo_ablate.report.claims import Claims, claims
from limo_ablate.report.facts import finding, glance, provenance, recipe
from limo_ablate.report.load import StudyView, load
from limo_ablate.report.samples import samples
from limo_ablate.report.theme import DARK, LIGHT, config
from limo_ablate.report.training import curves, training_chart
from limo_ablate.study.design import Figure

HERE = Path(__file__).parent
PNG_WIDTH = 560
"""Pixels of the plot, drawn at twice that."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure on the page; without a spec, `finding` says why it could not be drawn."""

    id: str
    title: str
    finding: str
    note: str = ""
    spec: dict[str, Any] | None = None
    table: Table | None = None


def write_report(folder: Path) -> Path:
    view = load(folder)
    report = folder / "report"
    report.mkdir(exist_ok=True)
    for old in report.glob("*.png"):
        old.unlink()
    figures = [drawn for figure in view.figures for drawn in draw(view, figure)]
    made = claims(view)
    for drawn in [*figures, *forest(made)]:
        if drawn.spec:
            (report / f"{drawn.id}.png").write_bytes(png(drawn))
    page, partial = report / "index.html", report / "index.partial"
    partial.write_text(html(view, figures, made), encoding="utf-8")
    return partial.replace(page)


def draw(view: StudyView, figure: Figure) -> list[Drawn]:
    """A declared figure, one for each panel; one that can't be drawn says so in its place."""
    try:
        found = [
            Drawn(
                slug(data.figure.title),
                data.figure.title,
                finding(data),
                note(data),
                efficiency_chart(data).to_dict(),
                figure_table(data),
            )
            for data in view.data(figure)
        ]
    except UserError as error:
        return [Drawn(slug(figure.title), figure.title, f"This figure can't be drawn: {error}")]
    return found or [Drawn(slug(figure.title), figure.title, "None of its trials has finished yet.")]


def slug(title: str) -> str:
    """`Accuracy by size` -> `accuracy-by-size`: its id on the page and its PNG's name."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "figure"


def png(drawn: Drawn) -> bytes:
    title = {"text": drawn.title, "subtitle": drawn.note}
    spec = (drawn.spec or {}) | {"width": PNG_WIDTH, "title": title}
    picture: bytes = vl_convert.vegalite_to_png(spec, config=config(LIGHT), scale=2)
    return picture


def training(view: StudyView) -> list[Drawn]:
    """The training curves of each block that a figure shows."""
    blocks = {figure.block: figure for figure in reversed(view.figures)}
    found = []
    for figure in reversed(blocks.values()):
        steps = curves(figure, view.done)
        if steps is not None:
            chart = training_chart(figure, steps)
            name = f"Training: {figure.block}"
            found.append(Drawn(slug(name), name, "", "A line for each trial.", chart.to_dict()))
    return found


def forest(made: Claims | None) -> list[Drawn]:
    """The forest plot of the study's contrasts, where there are results."""
    if not made or not made.spec:
        return []
    note = "95 % intervals over seeds and problems; left of 0 the first level is better."
    return [Drawn("contrasts", "What the study was made for", "", note, made.spec, made.table)]


def html(view: StudyView, figures: list[Drawn], made: Claims | None) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    trainings = training(view)
    specs = {
        drawn.id: drawn.spec | {"width": "container"}
        for drawn in [*forest(made), *figures, *trainings]
        if drawn.spec
    }
    return environment.get_template("page.html").render(
        nonce=secrets.token_urlsafe(18),
        style=(HERE / "page.css").read_text(),
        vega=vega(),
        script=(HERE / "page.js").read_text(),
        charts=json_for_html({"specs": specs, "light": config(LIGHT), "dark": config(DARK)}),
        drawn_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        study=view.study,
        tiles=glance(view),
        claims=made,
        figures=figures,
        trainings=trainings,
        cells=cell_table(view) if view.done else None,
        failed=view.failed,
        waiting=[t for t in view.trials if not t.metrics and not t.failure],
        samples=samples(view),
        recipe=recipe(view) if view.done else [],
        provenance=provenance(view) if view.done else [],
    )


def vega() -> str:
    """Vega, Vega-Lite and vega-embed as one script (900 kB); bundling takes 2 s, once a process."""
    script: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub forgets the default
    return script.replace("</script", "<\\/script")


def json_for_html(data: Any) -> str:
    """JSON that can stand in a script element whatever text it holds."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
