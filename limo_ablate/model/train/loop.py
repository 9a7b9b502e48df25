"""Supervised fine-tuning with Accelerate: the loop that every process of a training runs.

The loss is the mean over the response tokens of the whole global batch, whatever the number of processes
and the packing.
"""

from __future__ import annotations

from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from limo_ablate.core.progress import keep_alive
from limo_ablate.model.train.batch import Collated
from limo_ablate.model.train.checkpoint import CHECKPOINTS, checkpoint_bytes, resume
from limo_ablate.model.train.context import Feed
from limo_ablate.model.train.curve import OnStep, Recorder
from limo_ablate.model.train.dev import DevSplit
from limo_ablate.model.train.job import TrainingJob
from limo_ablate.model.train.kept import keep_weights
from limo_ablate.model.train.model import save_model
from limo_ablate.model.train.plan import Plan
from limo_ablate.model.train.processes import make_accelerator, released
from limo_ablate.model.train.record import save_companion_files
from limo_ablate.model.train.sharding import full_norm, prepare, unwrapped, whole_model
from limo_ablate.model.train.speed import speed
from limo_ablate.model.train.stop import deferring_sigterm
from limo_ablate.model.train.token_rows import read_tokens

if TYPE_CHECKING:
    from accelerate import Accelerator


def fine_tune(job: TrainingJob, on_step: OnStep | None = None) -> nn.Module:
    """Trains and saves the model of `job`, as one of its `hardware.processes`; resumes from checkpoints.

    Returns this process's trained model. After SIGTERM, raises Preempted once the step is done and its
    checkpoint is written.
    """
    torch.set_num_threads(job.hardware.threads)
    with released(make_accelerator(job.train, job.hardware)) as accelerator:
        # New weights are those of the main process; dropout differs from process to process.
        torch.manual_seed(job.train.seed + accelerator.process_index)
        folder, rows = Path(job.folder), read_tokens(Path(job.tokens))
        plan = Plan(rows.lengths, rows.responses, job.train, rows.problems)
        feed = Feed(accelerator, job.hardware, rows, plan)
        model, optimizer = prepare(job, accelerator)
        progress = resume(accelerator, folder / CHECKPOINTS)
        dev = DevSplit(accelerator, model, feed, plan, job, progress) if job.train.dev else None
        rates = speed(unwrapped(model), plan, accelerator.device, accelerator.num_processes)
        recorder = Recorder(accelerator, plan, progress, folder, on_step, dev, rates, checkpoint_bytes(model))
        done = progress.step
        with deferring_sigterm():
            for step, batch in enumerate(islice(plan.batches(), done, plan.total_steps), done):
                for group in optimizer.param_groups:
                    group["lr"] = plan.learning_rate(step)
                trained = int(rows.responses[batch].sum())
                sums = accumulate_gradients(accelerator, model, feed.passes(batch), trained)
                norm = full_norm(accelerator.clip_grad_norm_(model.parameters(), job.train.grad_clip))
                optimizer.step()
                optimizer.zero_grad()
                if step + 1 in job.at:
                    keep_weights(accelerator, model, job, step + 1)
                recorder.record_step(step, batch, sums, norm)
        recorder.flush()
        if whole := whole_model(accelerator, model, job):  # in the main process
            if dev:
                dev.restore(whole)
            save_model(whole, job)
            save_companion_files(recorder, job)
        return model


def accumulate_gradients(
    accelerator: Accelerator, model: nn.Module, micro_batches: list[Collated], trained: int
) -> Tensor:
    """Backward passes of one step, whose loss is the mean over the global batch's `trained` tokens.

    Returns this process's sums over its micro-batches: (loss, correctly predicted tokens).
    """
    sums = torch.zeros(2, device=accelerator.device)
    for number, rows in enumerate(micro_batches, start=1):
        accelerator.sync_gradients = number == len(micro_batches)
        with nullcontext() if accelerator.sync_gradients else accelerator.no_sync(model):
            loss, right = model(rows)
            # Gradients are averaged over the processes; multiplied by their number, they are summed.
            accelerator.backward(loss * (accelerator.num_processes / trained))
        sums += torch.stack([loss.detach(), right])
        keep_alive()
    return sums
