"""The report as a page: figures drawn, tables and words filled in, everything inlined.

Model and data text is escaped by the template. On top of that the page's own policy lets no script run
but ours (by a nonce no text can know) and no request leave.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from limo_ablate.errors import UserError
from limo_ablate.report.cells import cell_table, figure_table
from limo_ablate.report.charts import efficiency_chart, note
from limo_ablate.report.claims import Claims, claims
from limo_ablate.report.facts import finding, glance, provenance, recipe
from limo_ablate.report.load import StudyView, load
from limo_ablate.report.samples import samples
from limo_ablate.report.section import Drawn, Section, slug
from limo_ablate.report.theme import DARK, LIGHT, config
from limo_ablate.report.training import section as training
from limo_ablate.study.design import Figure

HERE = Path(__file__).parent
PNG_WIDTH = 560
"""Pixels of the plot, drawn at twice that."""
SECTIONS: list[Callable[[StudyView], Section | None]] = [training]
"""In the page's order, after the claims and the declared figures; None where the study has nothing for it."""


def write_report(folder: Path) -> Path:
    view = load(folder)
    report = folder / "report"
    report.mkdir(exist_ok=True)
    for old in report.glob("*.png"):
        old.unlink()
    made = claims(view)
    figures = [drawn for figure in view.figures for drawn in draw(view, figure)]
    sections = [found for section in SECTIONS if (found := section(view))] if view.done else []
    for drawn in pictures(made, figures, sections):
        (report / f"{drawn.id}.png").write_bytes(png(drawn))
    page, partial = report / "index.html", report / "index.partial"
    partial.write_text(html(view, made, figures, sections), encoding="utf-8")
    return partial.replace(page)


def pictures(made: Claims | None, figures: list[Drawn], sections: list[Section]) -> list[Drawn]:
    """All that can be drawn."""
    of_sections = [drawn for section in sections for drawn in section.drawn]
    everything = [*(made.section.drawn if made else ()), *figures, *of_sections]
    return [drawn for drawn in everything if drawn.spec]


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


def png(drawn: Drawn) -> bytes:
    title = {"text": drawn.title, "subtitle": drawn.note}
    spec = (drawn.spec or {}) | {"width": PNG_WIDTH, "title": title}
    picture: bytes = vl_convert.vegalite_to_png(spec, config=config(LIGHT), scale=2)
    return picture


def html(view: StudyView, made: Claims | None, figures: list[Drawn], sections: list[Section]) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    specs = {
        drawn.id: (drawn.spec or {}) | {"width": "container"} for drawn in pictures(made, figures, sections)
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
        sections=sections,
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
