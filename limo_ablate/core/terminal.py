"""Rich's console for what the verbs print: rich's own escapes reach the terminal, those of others' texts are
shown as characters."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from limo_ablate.core.text import printable


class Terminal(Console):
    """Standard output, past the guard that `core.command` puts before it: this class is that guard."""

    def __init__(self, **settings: Any) -> None:
        file = getattr(sys.stdout, "unguarded", sys.stdout)
        given: dict[str, Any] = {"file": file, "highlight": False, "markup": False} | settings
        super().__init__(**given)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)
