"""What a rank that fails leaves for the trial's head, which may be on another machine, to tell."""

from __future__ import annotations

import json
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from limo_ablate.core.errors import DiskFull, Preempted, TrialFailure, UserError
from limo_ablate.model.train.managed_process import TRACEBACK_LINES
from limo_ablate.model.train.oom import OutOfMemory, is_out_of_memory

Kind = Literal["memory", "user", "trial", "preempted", "space", "unexpected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    rank: int
    kind: Kind
    text: str
    """One line that says what to do; of the unexpected the end of its traceback."""
    at: float
    """Seconds since the epoch."""

    @property
    def expected(self) -> bool:
        return self.kind != "unexpected"

    def error(self, desk: Path) -> TrialFailure | UserError:
        if self.kind == "user":
            return UserError(self.text)
        if self.kind == "unexpected":
            return TrialFailure(f"rank {self.rank} failed; its log is in {desk}\n{self.text}")
        kinds = {"memory": OutOfMemory, "space": DiskFull, "preempted": Preempted}
        return kinds.get(self.kind, TrialFailure)(f"rank {self.rank}: {self.text}")


def leave_failure(desk: Path, rank: int, error: Exception) -> None:
    """Writes down the `error` that ends `rank`."""
    kind = _kind(error)
    lines = traceback.format_exc().splitlines() if kind == "unexpected" else str(error).splitlines()[:1]
    text = "\n".join(lines[-TRACEBACK_LINES:])
    failure = Failure(rank=rank, kind=kind, text=text, at=time.time())
    partial = desk / f"rank{rank}.partial"
    partial.write_text(json.dumps(asdict(failure)))
    partial.rename(desk / f"rank{rank}.failure")


def _kind(error: Exception) -> Kind:
    if is_out_of_memory(error):
        return "memory"
    if isinstance(error, UserError):
        return "user"
    if isinstance(error, Preempted):
        return "preempted"
    if isinstance(error, DiskFull):
        return "space"
    return "trial" if isinstance(error, TrialFailure) else "unexpected"


def has_failure(desk: Path) -> bool:
    return any(desk.glob("rank*.failure"))


def told_failure(desk: Path) -> Failure | None:
    """The first one; a clear one before a traceback, which may be of a rank that misses the other."""
    failures = [Failure(**json.loads(file.read_text())) for file in desk.glob("rank*.failure")]
    return min(failures, key=lambda failure: (not failure.expected, failure.at), default=None)
