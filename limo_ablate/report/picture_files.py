"""Each chart as files beside the page: ID.svg, ID.png and ID.pdf, from one rendering."""

from __future__ import annotations

import copy
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import vl_convert

from limo_ablate.report.section import Chart
from limo_ablate.report.theme import LIGHT, config

WIDTH = 560
"""Width in pixels of the plot, or of all plots side by side."""
SCALE = 2
"""Pixels of the PNG for one pixel of the chart."""
NOTE = 88
"""Characters per line of the caption under the title."""
FORMATS = ("png", "svg", "pdf")
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters that a name may contain and an SVG may not."""


def picture_files(chart: Chart) -> dict[str, bytes]:
    """Name -> content of the chart's files."""
    image = svg(chart)
    # Vega runs once: its SVG converts to the same PNG, byte for byte, as a rendering of its own
    return {
        f"{chart.id}.svg": image.encode(),
        f"{chart.id}.png": vl_convert.svg_to_png(image, scale=SCALE),
        f"{chart.id}.pdf": vl_convert.svg_to_pdf(image),
    }


def write_picture_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Writes the files of all charts; removes the files of charts that no longer exist."""
    for kind in FORMATS:
        for old in folder.glob(f"*.{kind}"):
            old.unlink()
    for name, content in files.items():
        with (folder / name).open("xb") as file:
            file.write(content)


def svg(chart: Chart) -> str:
    """The chart as SVG, with title and caption, in the light colours."""
    title = {
        "text": chart.title,
        "subtitle": textwrap.wrap(chart.note.replace(" %", "\u00a0%"), NOTE, break_on_hyphens=False),
    }
    spec = sized(chart.spec or {}, WIDTH) | {"title": title}
    image: str = vl_convert.vegalite_to_svg(spec, config=config(LIGHT))
    return NOT_IN_XML.sub("\ufffd", image)


def sized(spec: dict[str, Any], width: int) -> dict[str, Any]:
    """The spec with this width, shared among its views if it has several (as `fit` in page.js does)."""
    spec = copy.deepcopy(spec)
    if "spec" in spec:
        spec["spec"] = sized(spec["spec"], width // across(spec))
        return spec
    for kind in ("hconcat", "vconcat", "concat"):
        if kind in spec:
            views = spec[kind]
            share = {"hconcat": len(views), "vconcat": 1, "concat": spec.get("columns", len(views))}[kind]
            return spec | {kind: [sized(view, width // share) for view in views]}
    return spec | {"width": width}


def across(spec: dict[str, Any]) -> int:
    """Number of a facet's views side by side."""
    facet = spec.get("facet", {})
    column = facet.get("column") if "field" not in facet else facet
    if column is None:
        return 1
    rows = spec.get("datasets", {}).get(spec.get("data", {}).get("name"), [])
    levels = len({str(row.get(column["field"])) for row in rows}) or 1
    return min(levels, int(spec.get("columns", levels)))
