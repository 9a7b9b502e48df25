"""The dev split: rows held out of training, their loss at regular steps, and the weights of the best step.

Choosing a checkpoint by the loss on held-out rows uses no benchmark, so the reported scores stay unbiased.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from limo_ablate.core.errors import TrialFailure
from limo_ablate.core.progress import keep_alive
from limo_ablate.model.train.checkpoint import BEST, PROGRESS, Progress, clear_disk_full_error, require_space
from limo_ablate.model.train.config import DevConfig
from limo_ablate.model.train.context import Feed
from limo_ablate.model.train.plan import Plan
from limo_ablate.model.train.sharding import whole_model

if TYPE_CHECKING:
    from accelerate import Accelerator

    from limo_ablate.model.train.job import TrainingJob


class DevSplit:
    """The dev split in one process; all processes must call its methods at the same steps."""

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        feed: Feed,
        plan: Plan,
        job: TrainingJob,
        progress: Progress,
    ) -> None:
        assert job.train.dev is not None
        self._accelerator, self._model, self._feed, self._plan, self._job = (
            accelerator,
            model,
            feed,
            plan,
            job,
        )
        self._config: DevConfig = job.train.dev
        self._folder = Path(job.folder)
        self._best = best_step(progress.curve) or (float("inf"), 0)

    def due(self, step: int) -> bool:
        """Whether the dev loss is measured after step `step` (from 0)."""
        return (step + 1) % self._config.every == 0 or step + 1 == self._plan.total_steps

    def loss(self, step: int) -> float:
        """Mean loss per dev response token after step `step`; keeps the weights if it is the lowest."""
        loss = self._loss()
        if self._config.keep == "best" and loss < self._best[0]:
            self._best = loss, step + 1
            self._keep_weights()
        return loss

    def restore(self, network: nn.Module) -> None:
        """For `keep: best`, loads the weights of the best step into the whole model; main process only."""
        from safetensors.torch import load_file

        if self._config.keep == "last":
            return
        file = self._file(self._best[1])
        if not file.exists():
            raise TrialFailure(f"{file}, the weights of the best step, is missing; train again")
        parameters = dict(network.named_parameters())
        with torch.no_grad():
            for name, value in load_file(file).items():
                parameters[name].copy_(value)

    def record(self, curve: list[dict[str, Any]]) -> dict[str, Any]:
        """Fields of train.json: the step whose weights are saved, and their dev loss."""
        kept = self._best[1] if self._config.keep == "best" else len(curve)
        return {"dev_rows": len(self._plan.dev), "dev_loss": curve[kept - 1]["dev_loss"], "kept_step": kept}

    def _loss(self) -> float:
        accelerator, plan = self._accelerator, self._plan
        total = torch.zeros((), device=accelerator.device)
        self._model.eval()
        with torch.no_grad():
            for rows in self._feed.passes(plan.dev):
                total += self._model(rows)[0]
                keep_alive()
        self._model.train()
        if reshard := getattr(self._model, "reshard", None):
            reshard()  # FSDP2 would keep the gathered weights, in the precision of the forward pass
        return float(accelerator.reduce(total, "sum")) / int(plan.responses[plan.dev].sum())

    def _keep_weights(self) -> None:
        from safetensors.torch import save_file

        network = whole_model(self._accelerator, self._model, self._job)
        if network is None:
            return
        trained = {
            name: parameter.detach().contiguous()
            for name, parameter in network.named_parameters()
            if parameter.requires_grad
        }
        file = self._file(self._best[1])
        file.parent.mkdir(exist_ok=True)
        needed = sum(value.nbytes for value in trained.values())
        require_space(file.parent, needed, "the weights of the best step")
        with clear_disk_full_error(file.parent, needed, "the weights of the best step"):
            save_file(trained, file.with_suffix(".partial"))
        file.with_suffix(".partial").rename(file)
        needed_files = {self._file(step) for step in (self._best[1], *self._best_of_checkpoints())}
        for old in set(file.parent.iterdir()) - needed_files:
            old.unlink()

    def _best_of_checkpoints(self) -> Iterator[int]:
        """The best step so far of each checkpoint, which a resumed training starts with."""
        for checkpoint in self._folder.glob(f"*/step-*/{PROGRESS}"):
            if best := best_step(json.loads(checkpoint.read_text())["curve"]):
                yield best[1]

    def _file(self, step: int) -> Path:
        return self._folder / BEST / f"step-{step:08d}.safetensors"


def best_step(curve: list[dict[str, Any]]) -> tuple[float, int] | None:
    """(dev loss, step) of the lowest dev loss, the earliest if equal; None without dev losses."""
    return min(((row["dev_loss"], row["step"]) for row in curve if row["dev_loss"] is not None), default=None)
