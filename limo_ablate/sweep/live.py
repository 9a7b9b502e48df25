"""What a sweep says while it runs: a line for each trial that ends; in a terminal, a table of the others."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from limo_ablate.sweep.cells import Cell
from limo_ablate.view import plus_minus

REFRESH_SECONDS = 0.5
TAIL_BYTES = 2000
"""Enough of a log's end to hold its last line."""


class Progress:
    """Counts cells and prints; use as a context."""

    def __init__(self, console: Console, *, total: int, done: int, slots: int) -> None:
        self._console = console
        self._total, self._done, self._slots = total, done, slots
        self._given_up = 0
        self._spent: list[float] = []
        self._running: list[tuple[str, float, Path]] = []
        self._live = Live(get_renderable=self._table, console=console, auto_refresh=False, transient=True)
        self._interactive = console.is_terminal

    def __enter__(self) -> Self:
        if self._interactive:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._interactive:
            self._live.stop()

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def finished(self, cell: Cell, metrics: Mapping[str, Any], seconds: float) -> None:
        self._done += 1
        self._spent.append(seconds)
        score = next(iter(metrics["scores"].values()))
        result = plus_minus(score["accuracy"], score["stderr"])
        self.say(f"{self._count()} {cell.name}  {result}  {seconds:.1f} s{self._eta(', ')}")

    def failed(self, cell: Cell, attempt: int, attempts: int, reason: str, log: Path, *, again: bool) -> None:
        """`again`: the cell is queued for another attempt."""
        self._given_up += not again
        then = "trying again" if again else "left alone"
        self.say(f"{self._count()} {cell.name}  FAILED, attempt {attempt} of {attempts}, {then}: {reason}")
        self.say(f"    log:   {log}\n    rerun: {rerun_command(cell)}")

    def show(self, running: Iterable[tuple[str, float, Path]]) -> None:
        """What runs now: (name, time of its start, log), slot by slot."""
        self._running = list(running)
        if self._interactive:
            self._live.refresh()

    def _count(self) -> str:
        width = len(str(self._total))
        return f"[{self._done:{width}}/{self._total}]"

    def _eta(self, before: str) -> str:
        left = self._total - self._done - self._given_up
        if not self._spent or not left:
            return ""
        seconds = sum(self._spent) / len(self._spent) * left / self._slots
        return f"{before}about {readable(seconds)} left"

    def _table(self) -> Table:
        failed = f", {self._given_up} failed" if self._given_up else ""
        caption = f"{self._done} of {self._total} done{failed}{self._eta(', ')}"
        table = Table(caption=caption, caption_justify="left", box=None, padding=(0, 2, 0, 0))
        for column in ("running", "for", "last line of its log"):
            table.add_column(column, no_wrap=True)
        now = time.monotonic()
        for name, started, log in self._running:
            table.add_row(name, readable(now - started), last_line(log))
        return table


def rerun_command(cell: Cell) -> str:
    return shlex.join(["limo-ablate", *cell.overrides])


def readable(seconds: float) -> str:
    """`42 s`, `7 min`, `2 h 5 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    # a progress bar rewrites its line with carriage returns
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1] if lines else ""
