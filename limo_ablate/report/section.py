"""What the page is made of: sections, each with pictures and the table behind every picture."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    """Text for the page."""

    header: list[str]
    rows: list[list[str]]
    words: int
    """How many columns from the left are words; the others are numbers."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture on the page and in a file beside it; without a spec, `finding` says why there is none."""

    id: str
    """On the page and of its files: see `slug`."""
    title: str
    finding: str = ""
    """What came out, in a sentence."""
    note: str = ""
    """What error bars, bands and dashed lines are."""
    spec: dict[str, Any] | None = None
    """Vega-Lite, without width, title and config."""
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A heading of the page with what stands under it."""

    id: str
    title: str
    text: tuple[str, ...] = ()
    """Paragraphs before the pictures."""
    charts: tuple[Chart, ...] = ()
    table: Table | None = None
    """Of the section itself, where it has no picture."""
    code: str = ""
    """Shown as it is, at the section's end, with a button that copies it."""


def slug(title: str) -> str:
    """`Accuracy by size` -> `accuracy-by-size`: its id on the page and its files' name."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "figure"
