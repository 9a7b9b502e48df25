"""The record of a training while it runs: its curve, its checkpoints, and what train.json says at the end."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor

from limo_ablate.errors import TrialFailure
from limo_ablate.train.checkpoint import Progress, save_checkpoint
from limo_ablate.train.plan import Plan

if TYPE_CHECKING:
    from accelerate import Accelerator

CURVE, RECORD, CHECKPOINTS = "curve.parquet", "train.json", "checkpoints"

OnStep = Callable[[dict[str, Any]], None]


@dataclass
class Recorder:
    """Takes each step's statistics from the device and reads them one step later, so that none waits."""

    accelerator: Accelerator
    plan: Plan
    progress: Progress
    folder: Path
    on_step: OnStep | None
    _started: float = field(init=False)
    _saved: float = field(init=False)
    _unread: tuple[int, int, Tensor, Tensor] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._saved = time.perf_counter()
        self._started = self._saved - self.progress.seconds

    def finished(self, step: int, trained: int, sums: Tensor, norm: Tensor) -> None:
        """Step `step` (from 0) is queued: `sums` are this process's (loss, right tokens) over `trained` ones.

        Every process calls it. When the main process finds a checkpoint due, the others hear of it with the
        step's statistics, and all write it one step later; a process that is alone writes it at once.
        """
        alone = self.accelerator.num_processes == 1
        due = time.perf_counter() - self._saved >= self.plan.train.checkpoint_seconds
        told = float(due and not alone and self.accelerator.is_main_process)
        totals = self.accelerator.reduce(torch.cat([sums, sums.new_tensor([told])]), "sum")
        agreed = self._read()
        self._unread = step, trained, totals, norm
        if agreed or (alone and due):
            self.flush()
            self._saved = time.perf_counter()
            save_checkpoint(self.accelerator, self.progress, self.folder / CHECKPOINTS)

    def flush(self) -> None:
        """Reads what is left to read."""
        self._read()

    def _read(self) -> bool:
        """Adds the unread step to the curve; returns whether a checkpoint is due."""
        if self._unread is None:
            return False
        (step, trained, totals, norm), self._unread = self._unread, None
        loss, right, due = totals.tolist()
        if not math.isfinite(loss):
            raise TrialFailure(
                f"the loss is {loss} at step {step + 1}; lower train.learning_rate or train.grad_clip"
            )
        row = {
            "step": step + 1,
            "epoch": (step + 1) / self.plan.steps_per_epoch,
            "loss": loss / trained,
            "token_accuracy": right / trained,
            "learning_rate": self.plan.learning_rate(step),
            "grad_norm": float(norm),
            "tokens": self.progress.tokens + trained,
            "seconds": round(time.perf_counter() - self._started, 4),
        }
        self.progress.curve.append(row)
        if self.on_step and self.accelerator.is_main_process:
            self.on_step(row)
        return bool(due)


def write_record(progress: Progress, plan: Plan, facts: dict[str, Any], folder: Path) -> None:
    """Writes curve.parquet and train.json.

    Loss and accuracy are means over the last epoch's response tokens; tokens per second count prompts too.
    """
    curve = pl.DataFrame(progress.curve)
    curve.write_parquet(folder / CURVE)
    last = curve.with_columns(trained=pl.col("tokens").diff().fill_null(pl.col("tokens"))).tail(
        plan.steps_per_epoch
    )
    means = last.select(
        (pl.col("loss", "token_accuracy") * pl.col("trained")).sum() / pl.col("trained").sum()
    ).row(0, named=True)
    passed = sum(int(plan.lengths[batch].sum()) for batch in islice(plan.batches(), progress.step))
    record = {
        "rows": facts["rows"],
        "rows_over_length": facts["rows_over_length"],
        "steps": progress.step,
        "epochs": curve["epoch"][-1],
        "tokens": progress.tokens,
        "loss": means["loss"],
        "token_accuracy": means["token_accuracy"],
        "tokens_per_second": round(passed / progress.seconds, 1),
        "seconds": progress.seconds,
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n")
