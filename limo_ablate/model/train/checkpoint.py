"""Checkpoints of a training: whole or not there, the newest two kept, a damaged one passed over.

A checkpoint is a folder `step-NNNNNNNN`: `state/` is Accelerate's (weights as safetensors, optimizer and
random states; under FSDP2 the weights and the optimizer as each process's shards), `progress.json` holds
the curve so far and the digest of `state/`. It is written beside, then renamed.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limo_ablate.core.artifacts import digest_folder
from limo_ablate.core.errors import DiskFull, is_disk_full

if TYPE_CHECKING:
    from accelerate import Accelerator

STATE, PROGRESS, PARTIAL = "state", "progress.json", "partial"
KEPT = 2

logger = logging.getLogger(__name__)
logging.getLogger("accelerate").setLevel(logging.WARNING)  # it tells of each file that it writes
# It warns at each checkpoint that tied weights are stored once.
logging.getLogger("accelerate.utils.other").setLevel(logging.ERROR)


@dataclass
class Progress:
    """How far a training is: the rows of curve.parquet, one a step."""

    curve: list[dict[str, Any]] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        return len(self.curve)

    @property
    def tokens(self) -> int:
        """Response tokens trained."""
        return int(self.curve[-1]["tokens"]) if self.curve else 0

    @property
    def seconds(self) -> float:
        """Spent training, over all attempts."""
        return float(self.curve[-1]["seconds"]) if self.curve else 0.0


def save_checkpoint(accelerator: Accelerator, progress: Progress, folder: Path) -> None:
    """Saves the state of all processes; every process calls it.

    Raises DiskFull when the disk is full; the checkpoints before stay as they are.
    """
    final = folder / f"step-{progress.step:08d}"
    partial = folder / PARTIAL
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    accelerator.wait_for_everyone()
    with told_when_full(folder, sum(map(_size, _newest_first(folder)[:1])), "a checkpoint", partial):
        accelerator.save_state(str(partial / STATE))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            record = {"digest": digest_folder(partial / STATE), "curve": progress.curve}
            (partial / PROGRESS).write_text(json.dumps(record))
    if accelerator.is_main_process:
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        for old in _newest_first(folder)[KEPT:]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def resume(accelerator: Accelerator, folder: Path) -> Progress:
    """Loads the newest whole checkpoint in `folder` into what `accelerator` prepared; else a beginning."""
    if accelerator.is_main_process:
        shutil.rmtree(folder / PARTIAL, ignore_errors=True)
    for checkpoint in _newest_first(folder):
        progress = _read(checkpoint)
        if progress is None:
            logger.warning("checkpoint %s is damaged; falling back to the one before", checkpoint.name)
            continue
        accelerator.load_state(str(checkpoint / STATE))
        return progress
    return Progress()


@contextmanager
def told_when_full(folder: Path, needed: int, what: str, partial: Path | None = None) -> Iterator[None]:
    """Turns any error that a full disk makes while `what` is written to `folder` into one clear DiskFull.

    `needed` bytes are about what it takes, 0 when that is not known. What `partial` holds by then is removed.
    """
    try:
        yield
    except Exception as error:
        written = _size(partial) if partial else 0
        if not is_disk_full(error) and shutil.disk_usage(folder).free >= max(needed, written):
            raise
        if partial:
            shutil.rmtree(partial, ignore_errors=True)  # other processes may be at it too
        size = f"about {needed / 1e6:.1f}" if needed else f"more than {written / 1e6:.1f}"
        raise DiskFull(
            f"no space left: {folder} needs {size} MB for {what}; "
            "free some, or set paths.artifacts to a larger disk, and run it again"
        ) from error


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"), reverse=True)


def _read(checkpoint: Path) -> Progress | None:
    """What a checkpoint says of itself; None when its bytes are not those that were written."""
    try:
        record = json.loads((checkpoint / PROGRESS).read_text())
    except (OSError, ValueError):
        return None
    whole = record["digest"] == digest_folder(checkpoint / STATE)
    return Progress(record["curve"]) if whole else None
