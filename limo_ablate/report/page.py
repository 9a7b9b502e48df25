"""Writes the report: charts, tables and text in one HTML page, everything inlined.

The template escapes text of models and data. In addition, the page's content security policy runs only our
scripts (by a nonce that no text can know) and allows no requests.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from limo_ablate.analysis.tidy import tidy_items
from limo_ablate.core.errors import UserError
from limo_ablate.core.files import write_atomically
from limo_ablate.report.part_errors import PartErrors
from limo_ablate.report.parts import RECIPE, ReportParts, report_parts
from limo_ablate.report.picture_files import FORMATS, write_picture_files
from limo_ablate.report.section import Section
from limo_ablate.report.sections import LAST
from limo_ablate.report.study_view import StudyView, load
from limo_ablate.report.theme import DARK, LIGHT, config
from limo_ablate.study.folder import REPORT, REPORT_ERRORS

HERE = Path(__file__).parent
INDEX = "index.html"
ITEMS = "items.parquet"
GENERATOR, GENERATOR_WITHIN = b'content="limo-ablate"', 1000
"""What is among the first bytes of each page."""
SCRIPTS = ("page.js", "browser.js")
UNFOLDED = 3
"""Number of a section's charts that are shown unfolded; the others are folded."""
AROUND = 80
"""Pixels of a chart's axes and legend, to reserve about the right space before it is drawn."""
TALL = 220
"""Height in pixels of a chart without a height of its own."""


class WrittenReport(NamedTuple):
    page: Path
    failed: list[str]
    """Parts that could not be drawn, a line for each; their tracebacks are beside the page."""
    said: list[str]
    """What the page begins with, as lines: what came out, and problems."""


def write_report(study: Path, folder: Path | None = None) -> WrittenReport:
    """Draws the report of the study in the folder `study`, and writes it to `folder`: by default its
    `report/`."""
    if folder is not None:
        _check_target(folder)
    view, errors = load(study), PartErrors()
    parts, files = report_parts(view, errors)
    page = write_page(view, parts, files, errors, folder)
    return WrittenReport(page, errors.failed, parts.said)


def write_page(
    view: StudyView,
    parts: ReportParts,
    files: Mapping[str, bytes],
    errors: PartErrors,
    folder: Path | None = None,
) -> Path:
    """Writes the page, with its charts as files beside it, and the tracebacks of parts that failed."""
    report = folder or view.folder / REPORT
    report.mkdir(parents=True, exist_ok=True)
    write_picture_files(files, report)
    if view.done and (items := errors.isolate(ITEMS, lambda: _items(view), lambda _: None)):
        write_atomically(report / ITEMS, items)
    errors.write(report)
    page = report / INDEX
    write_atomically(page, html(view, parts))
    return page


def _items(view: StudyView) -> bytes | None:
    """`tidy.tidy_items` of the trials that count, as a parquet file."""
    content = BytesIO()
    tidy_items(view.counted, view.keys).write_parquet(content)
    return content.getvalue()


def _check_target(folder: Path) -> None:
    """Raises UserError for a folder with other things than a report, as its pictures would be removed."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    page = folder / INDEX
    if not page.is_file() or GENERATOR not in page.read_bytes()[:GENERATOR_WITHIN]:
        raise UserError(f"--to {folder}: it holds other things than a report; name a new or an empty folder")


def html(view: StudyView, parts: ReportParts) -> str:
    """The page's HTML."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.tests["failed"] = lambda part: isinstance(part, Section)
    specs = {chart.id: chart.spec for chart in parts.charts if chart.spec}
    return environment.get_template("page.html").render(
        nonce=secrets.token_urlsafe(18),
        style=(HERE / "page.css").read_text(),
        vega=vega(),
        script="\n".join((HERE / name).read_text() for name in SCRIPTS),
        charts=json_for_html({"specs": specs, "light": config(LIGHT), "dark": config(DARK)}),
        heights={name: height(spec) for name, spec in specs.items()},
        drawn_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        study=view.study,
        contents=contents(parts),
        kinds=FORMATS,
        unfolded=UNFOLDED,
        errors_file=REPORT_ERRORS,
        tiles=parts.tiles,
        problems=parts.problems,
        claims=parts.claims,
        extremes=parts.extremes,
        figures=parts.figures,
        sections=parts.sections,
        cells=parts.cells,
        errors_over=parts.errors_over,
        how_to_read=parts.how_to_read,
        completions=parts.completions,
        facts_of=parts.facts,
    )


def contents(parts: ReportParts) -> list[tuple[str, str]]:
    """(id, title) of the parts of the page, for its contents."""
    titles = [("answers", "What came out")] if parts.claims or parts.figures or parts.extremes else []
    titles += [(f"{figure.id}-figure", figure.title) for figure in parts.figures[:1]]
    titles += [("claims", "Contrasts")] if parts.claims else []
    titles += [(f"{figure.id}-figure", figure.title) for figure in parts.figures[1:]]
    titles += [(section.id, section.title) for section in parts.sections if section.id != LAST]
    rest = (("cells", "All cells", parts.cells), ("completions", "Completions", parts.completions))
    titles += [(id, title) for id, title, part in (*rest, ("recipe", RECIPE, parts.facts)) if part]
    return titles + [(section.id, section.title) for section in parts.sections if section.id == LAST]


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
        write_atomically(kept, script)
    return script


def json_for_html(data: Any) -> str:
    """JSON that is safe inside a script element, whatever text it holds."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
