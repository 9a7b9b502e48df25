"""What a rank that fails leaves for the trial's head, which may be on another machine, to tell."""

from __future__ import annotations

import json
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

from limo_ablate.errors import TrialFailure, UserError
from limo_ablate.train.oom import OutOfMemory, is_out_of_memory
from limo_ablate.train.parts import TRACEBACK_LINES


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    rank: int
    expected: bool
    """Whether `text` is one line that says what to do; else it is the end of a traceback."""
    out_of_memory: bool
    text: str
    at: float
    """Seconds since the epoch."""

    def error(self, desk: Path) -> TrialFailure:
        if self.expected:
            return (OutOfMemory if self.out_of_memory else TrialFailure)(f"rank {self.rank}: {self.text}")
        return TrialFailure(f"rank {self.rank} failed; its log is in {desk}\n{self.text}")


def leave_failure(desk: Path, rank: int, error: Exception) -> None:
    """Writes down the `error` that ends `rank`."""
    memory = is_out_of_memory(error)
    expected = memory or isinstance(error, TrialFailure | UserError)
    lines = str(error).splitlines()[:1] if expected else traceback.format_exc().splitlines()
    text = "\n".join(lines[-TRACEBACK_LINES:])
    failure = Failure(rank=rank, expected=expected, out_of_memory=memory, text=text, at=time.time())
    partial = desk / f"rank{rank}.partial"
    partial.write_text(json.dumps(asdict(failure)))
    partial.rename(desk / f"rank{rank}.failure")


def has_failure(desk: Path) -> bool:
    return any(desk.glob("rank*.failure"))


def told_failure(desk: Path) -> Failure | None:
    """The first one; a clear one before a traceback, which may be of a rank that misses the other."""
    failures = [Failure(**json.loads(file.read_text())) for file in desk.glob("rank*.failure")]
    return min(failures, key=lambda failure: (not failure.expected, failure.at), default=None)
