"""What a sweep prints while it runs: a line for each trial that ends, and in a terminal a live table."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from limo_ablate.core.errors import UserError
from limo_ablate.core.files import open_plain
from limo_ablate.core.progress import Progress
from limo_ablate.core.project import command
from limo_ablate.core.text import printable
from limo_ablate.study.planned import PlannedTrial, ShownTrial
from limo_ablate.sweep.ledger.same_failures import PrintedReasons, group_by_reason, listed
from limo_ablate.trial.show import plus_minus

REFRESH_SECONDS = 0.5
QUIET_SECONDS = 600.0
"""Without a terminal, what runs is printed after so long without another line."""
TAIL_BYTES = 2000
"""Enough of a log's end to hold its last line."""
COLUMNS = ("trial", "state", "slot", "stage", "progress", "tok/s", "ETA", "spend", "failures")
DROPPED = ("slot", "failures", "spend", "tok/s", "state", "stage")
"""Columns that a narrow terminal does without, in this order."""
GAP = 2
"""Blanks between two columns."""
OTHER_LINES = 3
"""Lines of a terminal that the table's rows leave: its header, its caption, the cursor's."""


@dataclass(frozen=True, slots=True)
class Row:
    """A running attempt, or a trial that waits for its next one, as the table shows it."""

    name: str
    state: str
    slot: int | None
    """None for a trial that waits for its next attempt."""
    progress: Progress | None
    spend: float
    """Device-seconds that this attempt has used."""
    failures: int

    def texts(self) -> tuple[str, ...]:
        """Its row of the table, as in COLUMNS."""
        slot = "" if self.slot is None else str(self.slot)
        spend, failures = readable(self.spend), str(self.failures)
        stage, *rest = _progress(self.progress)
        if self.progress is None and self.slot is not None:
            stage = "starting"
        return (self.name, self.state, slot, stage, *rest, spend, failures)


class Board:
    """Counts trials and prints; use as a context."""

    def __init__(self, console: Console, *, total: int, done: int, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet
        self._total, self._done, self._given_up = total, done, 0
        self._reasons = PrintedReasons()
        self._spent: list[float] = []
        self._devices = 0.0
        self._rows: list[Row] = []
        self._elsewhere = 0
        self._interactive = console.is_terminal and not quiet
        self._printed_at = time.monotonic()
        self._live = Live(get_renderable=self._table, console=console, auto_refresh=False, transient=True)

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
        self._printed_at = time.monotonic()

    def count(self, *, total: int, done: int, elsewhere: int) -> None:
        """Updates the counts from the ledger: other runners finish trials too, and searches add some."""
        self._total, self._done, self._elsewhere = total, max(done, self._done), elsewhere

    def spend(self, device_seconds: float) -> None:
        """An attempt has ended, with whatever outcome."""
        self._devices += device_seconds

    def finished(self, trial: PlannedTrial, metrics: Mapping[str, Any], seconds: float) -> None:
        self._done += 1
        self._spent.append(seconds)
        score = next(iter(metrics["scores"].values()))
        result = plus_minus(score["accuracy"], score["stderr"])
        if not self._quiet:
            self.say(f"{self._count()} {trial.name}  {result}  {seconds:.1f} s{self._eta()}")

    def failed(
        self, trial: PlannedTrial, attempt: int, attempts: int, reason: str, log: Path, *, again: bool
    ) -> None:
        """`again`: the trial waits for another attempt."""
        self._given_up += not again
        then = "retrying" if again else "given up"
        if not again and attempt < attempts:
            then = "not retried by this sweep, but by the next"
        earlier = self._reasons.earlier(trial.name, reason)
        how = f"FAILED, attempt {attempt} of {attempts}, {then}: {earlier or reason}"
        self.say(f"{self._count()} {trial.name}  {how}")
        if not earlier:
            self.say(f"    log:   {log}\n    rerun: {rerun_command(trial)}")

    def ended(self, trial: PlannedTrial, how: str) -> None:
        """An attempt has ended without a result, and not through a fault of the trial."""
        self.say(f"{self._count()} {trial.name}  {how}")

    def show(self, rows: Iterable[Row]) -> None:
        """Shows what runs now, slot by slot, then what waits for its next attempt."""
        self._rows = list(rows)
        if self._interactive:
            self._live.refresh()
        elif self._rows and not self._quiet and time.monotonic() - self._printed_at > QUIET_SECONDS:
            running = "; ".join(f"{row.name} {row.progress or row.state}" for row in self._rows)
            self.say(f"{self._count()} running: {running}")

    def _count(self) -> str:
        width = len(str(self._total))
        return f"[{self._done:{width}}/{self._total}]"

    def _eta(self) -> str:
        left = self._total - self._done - self._given_up
        if not self._spent or left <= 0:
            return ""
        side_by_side = max(1, sum(row.slot is not None for row in self._rows)) + self._elsewhere
        seconds = sum(self._spent) / len(self._spent) * left / side_by_side
        return f", about {readable(seconds)} left"

    def _table(self) -> Table:
        room = self._console.height - OTHER_LINES - len(self._caption()) // self._console.width
        shown = self._rows if len(self._rows) <= room else self._rows[: max(room - 1, 1)]
        columns, texts = fitted(COLUMNS, [row.texts() for row in shown], self._console.width)
        table = Table(caption=self._caption(), caption_justify="left", box=None, padding=(0, GAP, 0, 0))
        for column in columns:
            right = column in ("slot", "progress", "tok/s", "ETA", "spend", "failures")
            table.add_column(column, no_wrap=True, justify="right" if right else "left")
        for row in texts:
            table.add_row(*map(Text, row))
        if more := len(self._rows) - len(shown):
            table.add_row(f"and {more} more")
        return table

    def _caption(self) -> str:
        failed = f", {self._given_up} failed" if self._given_up else ""
        elsewhere = f", {self._elsewhere} in other runners" if self._elsewhere else ""
        spent = (self._devices + sum(row.spend for row in self._rows)) / 3600
        done = f"{self._done} of {self._total} done{failed}{elsewhere}{self._eta()}"
        return f"{done}; {spent:.2f} device-hours here"


def fitted(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> tuple[list[str], list[list[str]]]:
    """The columns, and each row's texts in them, without those of DROPPED that don't fit into `width`."""
    widths = {
        name: max(map(cell_len, (name, *texts))) + GAP for name, *texts in zip(columns, *rows, strict=True)
    }
    for name in DROPPED:
        if sum(widths.values()) - GAP <= width:
            break
        del widths[name]
    places = [place for place, name in enumerate(columns) if name in widths]
    return list(widths), [[row[place] for place in places] for row in rows]


def _progress(progress: Progress | None) -> tuple[str, str, str, str]:
    """Stage, progress (steps, completions, or tokens of a base model), tokens a second, time until the stage
    ends."""
    if progress is None:
        return "", "", "", ""
    done = "" if progress.done is None else f"{progress.done}/{progress.total}"
    speed = "" if progress.speed is None else f"{progress.speed:,.0f}"
    return progress.stage, done, speed, "" if progress.left is None else readable(progress.left)


def failure_lines(failed: Iterable[tuple[ShownTrial, str, Path]]) -> Iterator[str]:
    """Lines about trials that failed, each with its reason and log: those of equal reasons together."""
    for group in group_by_reason(failed, lambda one: one[1]).values():
        trial, reason, log = group[0][0], printable(group[0][1]), group[0][2]
        if len(group) == 1:
            yield f"  failed: {trial.name}  {reason}"
        else:
            yield f"  failed: {len(group)} trials  {reason}"
            yield f"    trials: {listed(one.name for one, _, _ in group)}"
        yield f"    log:   {log}"
        yield f"    rerun: {rerun_command(trial)}"


def rerun_command(trial: ShownTrial) -> str:
    return command(*trial.overrides)


def readable(seconds: float) -> str:
    """`42 s`, `7 min`, `2 h 5 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def last_line(log: Path) -> str:
    return next((line.strip() for line in reversed(last_lines(log)) if line.strip()), "")


def last_lines(log: Path, size: int = TAIL_BYTES) -> list[str]:
    """The lines in the last `size` bytes of a log; none if it can't be read, or is a link."""
    try:
        with open_plain(log) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            text: str = file.read(size).decode(errors="replace")
    except (OSError, UserError):
        return []
    return printable(
        text.replace("\r", "\n")
    ).splitlines()  # a progress bar rewrites its line with carriage returns
