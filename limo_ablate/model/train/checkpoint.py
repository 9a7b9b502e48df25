"""Checkpoints of a training: written atomically, the newest two kept, damaged ones skipped.

A checkpoint is a folder `step-NNNNNNNN`: `state/` is written by Accelerate (weights as safetensors,
optimizer and random states; under FSDP2 each process's shards of weights and optimizer), `progress.json`
holds the curve so far and the digest of `state/`. The folder is written under another name, then renamed.
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

from limo_ablate.core.errors import DiskFull, is_disk_full
from limo_ablate.core.manifest import digest_folder

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn

CHECKPOINTS, BEST = "checkpoints", "best"
"""Folders of a training for its checkpoints, and for the weights of the best steps on the dev split."""
STATE, PROGRESS, PARTIAL = "state", "progress.json", "partial"
KEPT = 2
SHARE = 0.05
"""Largest share of a training's time that checkpoints by time take."""
WRITE_SPEED = 300e6
"""Bytes of a checkpoint that are written and digested a second, assumed for the first one."""

logger = logging.getLogger(__name__)
logging.getLogger("accelerate").setLevel(logging.WARNING)  # it logs each file that it writes
# Warns at each checkpoint that tied weights are stored once.
logging.getLogger("accelerate.utils.other").setLevel(logging.ERROR)


@dataclass
class Progress:
    """How far a training is: the rows of curve.parquet, one per step."""

    curve: list[dict[str, Any]] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Number of optimiser steps done."""
        return len(self.curve)

    @property
    def tokens(self) -> int:
        """Number of response tokens trained on."""
        return int(self.curve[-1]["tokens"]) if self.curve else 0

    @property
    def seconds(self) -> float:
        """Seconds spent training, over all attempts."""
        return float(self.curve[-1]["seconds"]) if self.curve else 0.0


@dataclass
class Pace:
    """When checkpoints by time are due: every `seconds`, for no more than `SHARE` of the training's time."""

    seconds: float
    """0: always."""
    expected: float
    """Seconds that the next checkpoint takes: as the last one, or by the size of what it saves."""
    spent: float = 0.0
    """Seconds that checkpoints have taken."""

    def due(self, since: float, whole: float) -> bool:
        """`since`: seconds since the last checkpoint or the start; `whole`: those of the whole training."""
        if self.seconds == 0:
            return True
        wait = max(self.seconds, self.expected / SHARE if self.spent else 0.0)
        return since >= wait and self.spent + self.expected <= SHARE * whole

    def add(self, seconds: float) -> None:
        self.expected, self.spent = seconds, self.spent + seconds


def checkpoint_bytes(model: nn.Module) -> int:
    """About the size of a checkpoint: weights, and AdamW's two states of those that are trained."""
    counts = [(getattr(p, "ds_numel", None) or p.numel(), p) for p in model.parameters()]
    return sum(count * (p.element_size() + 8 * p.requires_grad) for count, p in counts)


def save_checkpoint(accelerator: Accelerator, progress: Progress, folder: Path, expected: int) -> None:
    """Saves the state of all processes; every process must call it. `expected`: bytes of the first one.

    Raises DiskFull if the disk is full, before it begins where that is known; earlier checkpoints are kept.
    """
    needed = sum(map(_size, _newest_first(folder)[:1])) or expected
    final = folder / f"step-{progress.step:08d}"
    partial = folder / PARTIAL
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
        require_space(folder.parent, needed, "a checkpoint")
        partial.mkdir(parents=True)
    accelerator.wait_for_everyone()
    with clear_disk_full_error(folder, needed, "a checkpoint", partial):
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
    """Loads the newest intact checkpoint in `folder` into what `accelerator` prepared, if there is one."""
    if accelerator.is_main_process:
        shutil.rmtree(folder / PARTIAL, ignore_errors=True)
    for checkpoint in _newest_first(folder):
        progress = _read(checkpoint)
        if progress is None:
            logger.warning("checkpoint %s is damaged; falling back to the previous one", checkpoint.name)
            continue
        accelerator.load_state(str(checkpoint / STATE))
        return progress
    return Progress()


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raises DiskFull where `folder` has no room for `what`, of about so many bytes."""
    if shutil.disk_usage(folder).free < needed:
        raise _disk_full(folder, needed, what)


@contextmanager
def clear_disk_full_error(
    folder: Path, needed: int, what: str, partial: Path | None = None
) -> Iterator[None]:
    """Turns any error that a full disk causes while `what` is written to `folder` into one clear DiskFull.

    `needed` is about the size of `what` in bytes. Then `partial` is removed.
    """
    try:
        yield
    except Exception as error:
        written = _size(partial) if partial else 0
        if not is_disk_full(error) and shutil.disk_usage(folder).free >= max(needed, written):
            raise
        if partial:
            shutil.rmtree(partial, ignore_errors=True)  # other processes may remove it too
        raise _disk_full(folder, needed, what) from error


def _disk_full(folder: Path, needed: int, what: str) -> DiskFull:
    return DiskFull(
        f"no space left: {folder} needs about {needed / 1e6:.1f} MB for {what}; "
        "free some (limo-ablate gc), or set paths.artifacts (paths.cache, where that is a URL) to a larger "
        "disk, and run it again"
    )


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"), reverse=True)


def _read(checkpoint: Path) -> Progress | None:
    """The progress that a checkpoint records; None if its files do not match its digest."""
    try:
        record = json.loads((checkpoint / PROGRESS).read_text())
    except (OSError, ValueError):
        return None
    intact = record["digest"] == digest_folder(checkpoint / STATE)
    return Progress(record["curve"]) if intact else None
