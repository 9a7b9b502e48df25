"""Writes the report: charts, tables and text in one HTML page, everything inlined.

The template escapes text of models and data. In addition, the page's content security policy runs only our
scripts (by a nonce that no text can know) and allows no requests.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from limo_ablate.core.errors import UserError
from limo_ablate.report.browser import pack_completions
from limo_ablate.report.claims import Claims, claims
from limo_ablate.report.declared.charts import efficiency_chart, note
from limo_ablate.report.facts import finding, glance, provenance, recipe, warnings
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
"""Number of a section's charts that are shown unfolded; the others are folded."""
AROUND = 80
"""Pixels of a chart's axes and legend, to reserve about the right space before it is drawn."""
TALL = 220
"""Height in pixels of a chart without a height of its own."""


def write_report(folder: Path) -> Path:
    view = load(folder)
    return write_page(view, *report_parts(view))


def report_parts(view: StudyView) -> tuple[Claims | None, list[Chart], list[Section]]:
    """The parts of the report: contrasts, charts of declared figures, sections."""
    figures = [chart for figure in view.figures for chart in draw(view, figure)]
    return claims(view), figures, list(sections(view))


def write_page(
    view: StudyView, contrasts: Claims | None, figures: list[Chart], sections: list[Section]
) -> Path:
    """Writes the page, with its charts as files beside it."""
    report = view.folder / "report"
    report.mkdir(exist_ok=True)
    write_picture_files(pictures(contrasts, figures, sections), report)
    page, partial = report / "index.html", report / "index.partial"
    partial.write_text(html(view, contrasts, figures, sections), encoding="utf-8")
    return partial.replace(page)


def pictures(contrasts: Claims | None, figures: list[Chart], sections: list[Section]) -> list[Chart]:
    """All charts that have a specification."""
    in_sections = [chart for section in sections for chart in section.charts]
    everything = [*(contrasts.section.charts if contrasts else ()), *figures, *in_sections]
    return [chart for chart in everything if chart.spec]


def draw(view: StudyView, figure: Figure) -> list[Chart]:
    """The charts of a declared figure, one for each panel; if it can't be drawn, a chart that says why."""
    try:
        panels = [
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
    return panels or [Chart(slug(figure.title), figure.title, "None of its trials has finished yet.")]


def html(view: StudyView, contrasts: Claims | None, figures: list[Chart], sections: list[Section]) -> str:
    """The page's HTML."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    specs = {chart.id: chart.spec or {} for chart in pictures(contrasts, figures, sections)}
    parts = {
        "claims": contrasts,
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
        warnings=warnings(view),
        contents=contents(parts),
        kinds=FORMATS,
        unfolded=UNFOLDED,
        provenance=provenance(view) if view.done else [],
        **parts,
    )


def contents(parts: dict[str, Any]) -> list[tuple[str, str]]:
    """(id, title) of the parts of the page, for its contents."""
    titles = [("claims", "Contrasts")] if parts["claims"] else []
    titles += [("figures", "Declared figures")] if parts["figures"] else []
    titles += [(section.id, section.title) for section in parts["sections"] if section.id != "methods"]
    rest = {"cells": "All cells", "completions": "Completions", "recipe": "Configuration and provenance"}
    titles += [(name, title) for name, title in rest.items() if parts[name]]
    return titles + [(section.id, section.title) for section in parts["sections"] if section.id == "methods"]


def height(spec: dict[str, Any]) -> int:
    """Approximate height of the chart in pixels."""
    if "spec" in spec or "vconcat" in spec or "hconcat" in spec:
        inner = [height(view) for view in [*spec.get("vconcat", ()), *spec.get("hconcat", ())]]
        return sum(inner) or height(spec["spec"])
    own = spec.get("height")
    return (int(own) if isinstance(own, int | float) else TALL) + AROUND


def vega() -> str:
    """Vega, Vega-Lite and vega-embed as one script (900 kB).

    Bundling takes 2 s, so the script is kept in the user's cache folder.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "limo-ablate"
    kept = folder / f"vega-{version('vl-convert-python')}.js"
    with suppress(OSError):
        return kept.read_text(encoding="utf-8")
    script: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub forgets the default
    script = script.replace("</script", "<\\/script")
    with suppress(OSError):  # no home, or none that can be written to
        folder.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")
        partial.write_text(script, encoding="utf-8")
        partial.replace(kept)
    return script


def json_for_html(data: Any) -> str:
    """JSON that is safe inside a script element, whatever text it holds."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
