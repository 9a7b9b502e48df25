"""Records the curve of a training while it runs, and decides when to write checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from limo_ablate.core.errors import Preempted, TrialFailure
from limo_ablate.core.progress import report_progress
from limo_ablate.model.train.checkpoint import CHECKPOINTS, WRITE_SPEED, Pace, Progress, save_checkpoint
from limo_ablate.model.train.dev import DevSplit
from limo_ablate.model.train.plan import Plan, Rows
from limo_ablate.model.train.speed import Speed, peak_memory
from limo_ablate.model.train.stop import stop_requested

if TYPE_CHECKING:
    from accelerate import Accelerator

SCHEMA = {
    "step": int,
    "epoch": float,
    "loss": float,
    "token_accuracy": float,
    "dev_loss": float,
    "learning_rate": float,
    "grad_norm": float,
    "tokens": int,
    "seconds": float,
    "tokens_per_second": float,
    "mfu": float,
    "peak_memory": int,
}
MEASURED = ("seconds", "tokens_per_second", "mfu", "peak_memory")
"""Columns that are measured, and differ from run to run."""

CHECKPOINT, STOP = 1.0, 2.0
"""Signals that a process adds to a step's statistics: a checkpoint is due (main process only); stop."""

OnStep = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Queued:
    """A step whose statistics the device may still be computing."""

    number: int
    """Step number, from 0."""
    batch: Rows
    totals: Tensor
    """(3,) sums over all processes: loss, correctly predicted tokens, signals."""
    norm: Tensor
    ended: float


@dataclass
class Recorder:
    """Records each step; reads its statistics from the device one step later, to avoid waiting for them."""

    accelerator: Accelerator
    plan: Plan
    progress: Progress
    folder: Path
    on_step: OnStep | None
    dev: DevSplit | None
    speed: Speed
    checkpoint_bytes: int
    _pace: Pace = field(init=False)
    _started: float = field(init=False)
    _ended: float = field(init=False)
    _saved: float = field(init=False)
    _unread: Queued | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._saved = self._ended = time.perf_counter()
        self._started = self._saved - self.progress.seconds
        self._pace = Pace(self.plan.train.checkpoint_seconds, self.checkpoint_bytes / WRITE_SPEED)

    def record_step(self, step: int, batch: Rows, sums: Tensor, norm: Tensor) -> None:
        """Queues step `step` (from 0); `sums` are this process's (loss, correct tokens) over `batch`.

        Every process must call it. When the main process decides on a checkpoint, it signals that with the
        step's statistics, and all processes write it one step later; a single process does so at once. A
        request to stop is signalled in the same way, by any process, and raises Preempted in all of them.
        """
        alone, now = self.accelerator.num_processes == 1, time.perf_counter()
        whole = (now - self._started) * self.plan.total_steps / (step + 1)
        time_due = self._pace.due(now - self._saved, whole)
        step_due = (step + 1) % (self.plan.train.checkpoint_steps or step + 2) == 0
        signal = CHECKPOINT * (time_due and self.accelerator.is_main_process)
        signal += STOP * stop_requested(self.folder)
        totals = self.accelerator.reduce(torch.cat([sums, sums.new_tensor([signal])]), "sum")
        agreed = self._read()
        self._unread = Queued(step, batch, totals, norm, now)
        if self.dev and self.dev.due(step):
            agreed = max(agreed, self._read())
        agreed = signal if alone else agreed
        if agreed or step_due:
            self.flush()
            begun = time.perf_counter()
            save_checkpoint(self.accelerator, self.progress, self.folder / CHECKPOINTS, self.checkpoint_bytes)
            self._saved = self._ended = time.perf_counter()
            self._pace.add(self._saved - begun)
        if agreed >= STOP:
            raise Preempted(f"asked to end after step {self.progress.step}; its checkpoint is written")

    def flush(self) -> None:
        """Reads the statistics of the last step."""
        self._read()

    def _read(self) -> float:
        """Adds the unread step to the curve; returns the sum of the signals sent with it."""
        if self._unread is None:
            return 0.0
        queued, self._unread = self._unread, None
        loss, right, signal = queued.totals.tolist()
        for name, value in (("loss", loss), ("gradient norm", float(queued.norm))):
            if not math.isfinite(value):  # DeepSpeed would leave the step out
                raise TrialFailure(
                    f"the {name} is {value} at step {queued.number + 1}; "
                    "lower train.learning_rate or train.grad_clip"
                )
        self.progress.curve.append(self._row(queued, loss, right))
        if self.accelerator.is_main_process:
            row = self.progress.curve[-1]
            report_progress("weights", row["step"], self.plan.total_steps, row["tokens_per_second"])
            if self.on_step:
                self.on_step(row)
        return float(signal)

    def _row(self, queued: Queued, loss: float, right: float) -> dict[str, Any]:
        device = self.accelerator.device
        # A CPU has finished a step when it is queued, a GPU when its statistics can be read.
        ended = queued.ended if device.type == "cpu" else time.perf_counter()
        rates = self.speed.rates(queued.batch, ended - self._ended)
        dev_loss = self.dev.loss(queued.number) if self.dev and self.dev.due(queued.number) else None
        self._ended = ended if dev_loss is None else time.perf_counter()
        trained = int(self.plan.responses[queued.batch].sum())
        return {
            "step": queued.number + 1,
            "epoch": (queued.number + 1) / self.plan.steps_per_epoch,
            "loss": loss / trained,
            "token_accuracy": right / trained,
            "dev_loss": dev_loss,
            "learning_rate": self.plan.learning_rate(queued.number),
            "grad_norm": float(queued.norm),
            "tokens": self.progress.tokens + trained,
            "seconds": round(ended - self._started, 4),
            **rates,
            "peak_memory": peak_memory(device),
        }
