"""Weights that a training keeps on its way, to be scored like the last ones (`eval.at`).

They stand in the training's own artifact, in the form of the last ones: `at/step-NNNNNNNN`. `at.json` has the
digest of each, so that a point's completions are keyed by its own weights; those of the last point are then
the same artifact as of a training that keeps none.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.errors import TrialFailure
from limo_ablate.core.manifest import digest_folder
from limo_ablate.core.reading import read_json
from limo_ablate.model.train.base import write_reference
from limo_ablate.model.train.load import load_tokenizer

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn

    from limo_ablate.model.train.job import TrainingJob

AT, DIGESTS = "at", "at.json"


def keep_weights(accelerator: Accelerator, model: nn.Module, job: TrainingJob, step: int) -> None:
    """Saves the weights after `step` steps beside those of earlier points; every process must call it.

    To be called before a checkpoint of that step is written, so that a resumed training has all points before
    the one it resumes from. Neither the model nor a random state is changed.
    """
    import torch

    from limo_ablate.model.train.model import save_model, saved_reference
    from limo_ablate.model.train.sharding import copied_model

    devices = [accelerator.device] if accelerator.device.type == "cuda" else []
    with torch.random.fork_rng(devices):  # reading a base again for LoRA draws random numbers
        network = copied_model(accelerator, model, job)
        if network is None:
            return
        folder = _folder(Path(job.folder), step)
        partial = folder.with_name("partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        own = replace(job, folder=str(partial))
        save_model(network, own)
        load_tokenizer(job.model).save_pretrained(partial)
        write_reference(partial, saved_reference(own))
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)


def record_digests(weights: Path, steps: tuple[int, ...]) -> None:
    """Writes the digest of the weights after each of `steps`; of the last one they stand in `weights`."""
    *kept, last = steps
    if missing := [step for step in kept if not _folder(weights, step).is_dir()]:
        raise TrialFailure(f"{_folder(weights, missing[0])}, weights to be kept, is missing; train again")
    digests = {step: digest_folder(_folder(weights, step)) for step in kept}
    inside = [path.relative_to(weights) for path in weights.rglob("*")]
    digests[last] = digest_folder(weights, [path.as_posix() for path in inside if path.parts[0] != AT])
    (weights / DIGESTS).write_text(json.dumps(digests, indent=1) + "\n")


def kept_checkpoints(weights: Artifact) -> dict[int, Artifact]:
    """Step -> the weights after it, as an artifact to generate with, in ascending order; the last one is the
    training's result. Empty for a training that kept none, and for a base model."""
    if not weights.has(DIGESTS):
        return {}
    digests = read_json(weights.path / DIGESTS, dict[str, str])
    steps = sorted(map(int, digests))
    places = {step: _folder(weights.path, step) for step in steps[:-1]} | {steps[-1]: weights.path}
    return {
        step: replace(weights, folder=path, copy=None, digest=digests[str(step)])
        for step, path in places.items()
    }


def last_checkpoint(model: Artifact) -> Artifact:
    """The weights after the last step alone, without those on the way; a model that has none as it is."""
    checkpoints = kept_checkpoints(model)
    return checkpoints[max(checkpoints)] if checkpoints else model


def _folder(weights: Path, step: int) -> Path:
    return weights / AT / f"step-{step:08d}"
