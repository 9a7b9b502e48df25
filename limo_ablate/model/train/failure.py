"""How a rank that fails reports its error to the trial's main process, possibly on another machine."""

from __future__ import annotations

import json
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from limo_ablate.core.errors import DiskFull, Preempted, TrialFailure, UserError
from limo_ablate.model.train.managed_process import TRACEBACK_LINES

OUT_OF_MEMORY_MESSAGES = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""Texts in the RuntimeErrors of PyTorch's CPU allocator and of cuBLAS, which have no type of their own."""

Kind = Literal["memory", "user", "trial", "preempted", "space", "unexpected"]


class OutOfMemory(TrialFailure):
    """A training, or an engine, needed more memory than there is."""


def is_out_of_memory(error: BaseException) -> bool:
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError | OutOfMemory):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY_MESSAGES)


def names_out_of_memory(text: str) -> bool:
    """Whether an error of another thread or process, of which only the text is known, means the same."""
    return any(part in text for part in (*OUT_OF_MEMORY_MESSAGES, "out of memory", "MemoryError"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    rank: int
    kind: Kind
    text: str
    """One line that says what to do; for an unexpected error the end of its traceback."""
    at: float
    """Seconds since the epoch."""

    @property
    def expected(self) -> bool:
        return self.kind != "unexpected"

    def error(self, scratch_dir: Path) -> TrialFailure | UserError:
        if self.kind == "user":
            return UserError(self.text)
        if self.kind == "unexpected":
            return TrialFailure(f"rank {self.rank} failed; its log is in {scratch_dir}\n{self.text}")
        kinds = {"memory": OutOfMemory, "space": DiskFull, "preempted": Preempted}
        return kinds.get(self.kind, TrialFailure)(f"rank {self.rank}: {self.text}")


def write_failure(scratch_dir: Path, rank: int, error: Exception) -> None:
    """Writes the `error` that ended `rank` to a file in `scratch_dir`."""
    kind = _kind(error)
    lines = traceback.format_exc().splitlines() if kind == "unexpected" else str(error).splitlines()[:1]
    text = "\n".join(lines[-TRACEBACK_LINES:])
    failure = Failure(rank=rank, kind=kind, text=text, at=time.time())
    partial = scratch_dir / f"rank{rank}.partial"
    partial.write_text(json.dumps(asdict(failure)))
    partial.rename(scratch_dir / f"rank{rank}.failure")


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


def has_failure(scratch_dir: Path) -> bool:
    return any(scratch_dir.glob("rank*.failure"))


def first_failure(scratch_dir: Path) -> Failure | None:
    """The first failure; expected ones before tracebacks, which other ranks may raise as a consequence."""
    failures = [Failure(**json.loads(file.read_text())) for file in scratch_dir.glob("rank*.failure")]
    return min(failures, key=lambda failure: (not failure.expected, failure.at), default=None)
