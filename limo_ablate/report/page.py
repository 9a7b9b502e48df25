"""The report as a page: figures drawn, tables and words filled in, everything inlined.

Model and data text is escaped by the template. On top of that the page's own policy lets no script run
but ours (by a nonce no text can know) and no request leave.
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from limo_ablate.core.errors import UserError
from limo_ablate.report.browser import pack_completions
from limo_ablate.report.claims import Claims, claims
from limo_ablate.report.declared.charts import efficiency_chart, note
from limo_ablate.report.facts import finding, glance, provenance, recipe
from limo_ablate.report.picture_files import FORMATS, write_picture_files
from limo_ablate.report.result_tables import cell_table, figure_table
from limo_ablate.report.section import Chart, Section, slug
from limo_ablate.report.sections import sections
from limo_ablate.report.study_view import StudyView, load
from limo_ablate.report.theme import DARK, LIGHT, config
from limo_ablate.study.design import Figure

HERE = Path(__file__).parent
SCRIPTS = ("page.js", "browser.js")
UNFOLDED = 3
"""Pictures of a section that stand open; the others are folded."""
AROUND = 80
"""Pixels of a chart's axes and legend: a chart that is not drawn yet takes about its room."""
TALL = 220
"""Pixels of a chart that says no height."""


def write_report(folder: Path) -> Path:
    view = load(folder)
    return write_page(view, *report_parts(view))


def report_parts(view: StudyView) -> tuple[Claims | None, list[Chart], list[Section]]:
    """What the page is made of: the claims, the declared figures, the sections."""
    figures = [drawn for figure in view.figures for drawn in draw(view, figure)]
    return claims(view), figures, list(sections(view))


def write_page(view: StudyView, made: Claims | None, figures: list[Chart], sections: list[Section]) -> Path:
    """Writes it, with its pictures beside it."""
    report = view.folder / "report"
    report.mkdir(exist_ok=True)
    write_picture_files(pictures(made, figures, sections), report)
    page, partial = report / "index.html", report / "index.partial"
    partial.write_text(html(view, made, figures, sections), encoding="utf-8")
    return partial.replace(page)


def pictures(made: Claims | None, figures: list[Chart], sections: list[Section]) -> list[Chart]:
    """All that can be drawn."""
    of_sections = [drawn for section in sections for drawn in section.charts]
    everything = [*(made.section.charts if made else ()), *figures, *of_sections]
    return [drawn for drawn in everything if drawn.spec]


def draw(view: StudyView, figure: Figure) -> list[Chart]:
    """A declared figure, one for each panel; one that can't be drawn says so in its place."""
    try:
        found = [
            Chart(
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
        return [Chart(slug(figure.title), figure.title, f"This figure can't be drawn: {error}")]
    return found or [Chart(slug(figure.title), figure.title, "None of its trials has finished yet.")]


def html(view: StudyView, made: Claims | None, figures: list[Chart], sections: list[Section]) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    specs = {drawn.id: drawn.spec or {} for drawn in pictures(made, figures, sections)}
    shown = {
        "claims": made,
        "figures": figures,
        "sections": sections,
        "cells": cell_table(view) if view.done else None,
        "completions": pack_completions(view),
        "recipe": recipe(view) if view.done else [],
    }
    return environment.get_template("page.html").render(
        nonce=secrets.token_urlsafe(18),
        style=(HERE / "page.css").read_text(),
        vega=vega(),
        script="\n".join((HERE / name).read_text() for name in SCRIPTS),
        charts=json_for_html({"specs": specs, "light": config(LIGHT), "dark": config(DARK)}),
        heights={name: height(spec) for name, spec in specs.items()},
        drawn_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        study=view.study,
        tiles=glance(view),
        contents=contents(shown),
        kinds=FORMATS,
        unfolded=UNFOLDED,
        provenance=provenance(view) if view.done else [],
        **shown,
    )


def contents(shown: dict[str, Any]) -> list[tuple[str, str]]:
    """(id, title) of the parts that the page has."""
    found = [("claims", "What the study was made for")] if shown["claims"] else []
    found += [("figures", "What came out")] if shown["figures"] else []
    found += [(section.id, section.title) for section in shown["sections"] if section.id != "methods"]
    rest = {"cells": "All cells", "completions": "Completions", "recipe": "Configuration and provenance"}
    found += [(name, title) for name, title in rest.items() if shown[name]]
    return found + [(section.id, section.title) for section in shown["sections"] if section.id == "methods"]


def height(spec: dict[str, Any]) -> int:
    """Pixels that the chart will take, nearly."""
    if "spec" in spec or "vconcat" in spec or "hconcat" in spec:
        inner = [height(view) for view in [*spec.get("vconcat", ()), *spec.get("hconcat", ())]]
        return sum(inner) or height(spec["spec"])
    own = spec.get("height")
    return (int(own) if isinstance(own, int | float) else TALL) + AROUND


def vega() -> str:
    """Vega, Vega-Lite and vega-embed as one script (900 kB); bundling takes 2 s, once a process."""
    script: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub forgets the default
    return script.replace("</script", "<\\/script")


def json_for_html(data: Any) -> str:
    """JSON that can stand in a script element whatever text it holds."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
