"""Failures grouped by reason: each reason is printed once, and one that many trials share stops the study.

A runner counts the trials that have failed since it began, in whatever runner. The one that finds
`launch.max_same_failures` of them with the same reason writes `stopped.json` into the study's folder; all
runners then start no more trials, until the next `sweep` or `retry` removes the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from limo_ablate.core.files import write_atomically
from limo_ablate.core.reading import read_json
from limo_ablate.core.text import printable

if TYPE_CHECKING:
    from limo_ablate.sweep.ledger.ledger import History

STOPPED = "stopped.json"
VARYING = re.compile(r"\S*/\S*|\b0x[0-9a-fA-F]+\b|\d[\d.,]*(?:[eE][+-]?\d+)?")
"""What may differ between equal failures: paths, addresses and numbers."""
LISTED = 20
"""Most names in a line."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stop:
    """Why no more trials are started."""

    reason: str
    """Reason of the last of these failures."""
    trials: tuple[str, ...]
    """Names of the trials that failed for this reason."""

    def __str__(self) -> str:
        return printable(
            f"no more trials are started: {len(self.trials)} failed for the same reason "
            f"(launch.max_same_failures): {self.reason}\n    trials: {listed(self.trials)}\n"
            "    when the cause is removed, the same sweep continues"
        )


class SameFailures:
    """Counts the trials that have failed for the same reason since the first `update`."""

    def __init__(
        self,
        folder: Path,
        limit: int | None = None,
        *,
        on_first: Callable[[str, str], None] | None = None,
        on_stop: Callable[[str], None] | None = None,
    ) -> None:
        """`folder` of the study. `on_first` is called with the id of the first trial that fails for a reason,
        and the reason; `on_stop` once, with a text, when no more trials are to be started.
        """
        self.stop: Stop | None = None
        self._folder, self._limit, self._on_first, self._on_stop = folder, limit, on_first, on_stop
        self._before: dict[str, int] | None = None
        """Trial id -> number of its failures that don't count."""
        self._known: set[str] = set()
        """Reasons (keys) that were told of."""

    def update(self, by_trial: Mapping[str, History]) -> None:
        """`by_trial`: trial id -> what the ledger knows about it now."""
        if self._before is None:
            self._before = {key: len(history.failures) for key, history in by_trial.items()}
        failed = [pair for pair in by_trial.items() if self._counts(*pair)]
        for reason, group in group_by_reason(failed, lambda pair: pair[1].failures[-1]).items():
            if reason not in self._known and self._on_first:
                self._on_first(group[0][0], group[0][1].failures[-1])
            self._known.add(reason)
            if self._limit is not None and len(group) >= self._limit and not self.stop:
                names = tuple(history.name for _, history in group)
                write_stop(self._folder, Stop(group[-1][1].failures[-1], names))
        if not self.stop and (stop := read_stop(self._folder)):
            self.stop = stop
            if self._on_stop:
                self._on_stop(str(stop))

    def _counts(self, key: str, history: History) -> bool:
        """Whether the trial's last failure was after the first update, and it has no result since."""
        assert self._before is not None
        before = self._before[key] = min(self._before.get(key, 0), len(history.failures))
        return len(history.failures) > before and not history.done


class PrintedReasons:
    """The reasons that were printed already, each with the trial that it was printed for."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}

    def earlier(self, trial: str, reason: str) -> str | None:
        """`same reason as NAME` where an equal one was printed; None, the first time."""
        key = reason_key(reason)
        if (first := self._first.get(key)) is None:
            self._first[key] = trial
            return None
        return f"same reason as {'before' if first == trial else first}"


def reason_key(reason: str) -> str:
    """Equal for failures that differ in paths and numbers only."""
    return VARYING.sub("#", reason)


def group_by_reason(failed: Iterable[T], reason: Callable[[T], str]) -> dict[str, list[T]]:
    """Key of the reason -> those of `failed` that share it, in order."""
    groups: dict[str, list[T]] = {}
    for one in failed:
        groups.setdefault(reason_key(reason(one)), []).append(one)
    return groups


def listed(names: Iterable[str]) -> str:
    """The names, the first ones of many."""
    names = list(names)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def read_stop(folder: Path) -> Stop | None:
    """Why runners start no more trials of the study in `folder`; None if they do."""
    try:
        found: Stop = read_json(folder / STOPPED, Stop)
    except FileNotFoundError:
        return None
    return found


def write_stop(folder: Path, stop: Stop) -> None:
    write_atomically(folder / STOPPED, json.dumps(asdict(stop), indent=1) + "\n")


def clear_stop(folder: Path) -> None:
    """Lets runners start trials again."""
    (folder / STOPPED).unlink(missing_ok=True)
