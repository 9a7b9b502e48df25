"""Building blocks of the report: sections, charts, and the table behind each chart."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text cells."""

    header: list[str]
    rows: list[list[str]]
    words: int
    """Number of text columns, from the left; the others are numbers."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart on the page and in files beside it; without a spec, `finding` says why there is none."""

    id: str
    """Identifier on the page and name of its files, see `slug`."""
    title: str
    finding: str = ""
    """The result in a sentence."""
    note: str = ""
    """Caption: what error bars, bands and dashed lines are."""
    spec: dict[str, Any] | None = None
    """Vega-Lite specification without width, title and config."""
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: a heading, paragraphs, charts, a table."""

    id: str
    title: str
    text: tuple[str, ...] = ()
    """Paragraphs before the charts."""
    charts: tuple[Chart, ...] = ()
    table: Table | None = None
    """A table of the section itself, beside those of its charts."""
    code: str = ""
    """Text shown verbatim at the section's end, with a copy button."""
    error: str = ""
    """Why the section could not be drawn; it is then shown with this alone."""


def failed_section(id: str, title: str, error: str) -> Section:
    """The section that is shown instead of one that could not be drawn."""
    return Section(id, title, error=error)


def slug(title: str) -> str:
    """`Accuracy by size` -> `accuracy-by-size`: an identifier for the page and for file names."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "figure"
