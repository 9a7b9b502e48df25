"""Supervised fine-tuning on Accelerate: the loop that every process of a training runs.

The loss is the mean over the response tokens of the whole global batch, whatever the number of processes
and the micro-batch size.
"""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from limo_ablate.config import HardwareConfig, TrainConfig
from limo_ablate.train.base import Reference, write_reference
from limo_ablate.train.batch import IGNORED, Collated, collate
from limo_ablate.train.checkpoint import resume
from limo_ablate.train.curve import CHECKPOINTS, OnStep, Recorder, write_record
from limo_ablate.train.load import load_tokenizer
from limo_ablate.train.model import adamw, save_model, trainable_model
from limo_ablate.train.plan import Plan
from limo_ablate.train.processes import make_accelerator, released
from limo_ablate.train.tokens import FACTS, read_tokens

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training, whole: what every process is told."""

    tokens: str
    """Folder of the `tokens` artifact."""
    model: str
    """Folder of the base model."""
    reference: Reference
    train: TrainConfig
    hardware: HardwareConfig
    folder: str
    """Where the model, its curve and its checkpoints go."""


def fine_tune(job: Job, on_step: OnStep | None = None) -> nn.Module:
    """Trains and saves the model of `job`, as one of its `hardware.processes`; resumes from checkpoints.

    Returns the trained model as this process has it.
    """
    torch.set_num_threads(job.hardware.threads)
    torch.manual_seed(job.train.seed)
    with released(make_accelerator(job.train, job.hardware)) as accelerator:
        folder, rows = Path(job.folder), read_tokens(Path(job.tokens))
        plan = Plan(rows.lengths, rows.responses, job.train)
        model = trainable_model(job, accelerator.device)
        model, optimizer = accelerator.prepare(model, adamw(model, job.train))
        network: nn.Module = model
        recorder = Recorder(accelerator, plan, resume(accelerator, folder / CHECKPOINTS), folder, on_step)
        done = recorder.progress.step
        for step, batch in enumerate(islice(plan.batches(), done, plan.total_steps), done):
            for group in optimizer.param_groups:
                group["lr"] = plan.learning_rate(step)
            trained = int(rows.responses[batch].sum())
            micro_batches = [
                collate(rows, part, accelerator.device)
                for part in plan.micro_batches(batch, accelerator.process_index, accelerator.num_processes)
            ]
            sums = accumulate_gradients(accelerator, model, micro_batches, trained)
            norm = accelerator.clip_grad_norm_(model.parameters(), job.train.grad_clip)
            optimizer.step()
            optimizer.zero_grad()
            recorder.finished(step, trained, sums, norm)
        recorder.flush()
        save_model(accelerator, model, job)
        if accelerator.is_main_process:
            leave_beside_the_weights(job, recorder, plan)
        return network


def accumulate_gradients(
    accelerator: Accelerator, model: nn.Module, micro_batches: list[Collated], trained: int
) -> Tensor:
    """Backward passes of one step, whose loss is the mean over the global batch's `trained` tokens.

    Returns this process's sums over them: (loss, tokens predicted right).
    """
    sums = torch.zeros(2, device=accelerator.device)
    for number, rows in enumerate(micro_batches, start=1):
        accelerator.sync_gradients = number == len(micro_batches)
        with nullcontext() if accelerator.sync_gradients else accelerator.no_sync(model):
            loss, right = response_loss(model, rows)
            # Gradients are averaged over the processes: times their number gives the sum.
            accelerator.backward(loss * (accelerator.num_processes / trained))
        sums += torch.stack([loss.detach(), right])
    return sums


def response_loss(model: nn.Module, rows: Collated) -> tuple[Tensor, Tensor]:
    """Sums over the rows' response tokens of cross entropy and of right predictions."""
    logits = model(
        input_ids=rows.ids,
        position_ids=rows.positions,
        logits_to_keep=rows.predicting,
        row_lengths=rows.lengths,
        use_cache=False,
    ).logits[0]
    loss = functional.cross_entropy(logits.float(), rows.labels, ignore_index=IGNORED, reduction="sum")
    return loss, (logits.detach().argmax(-1) == rows.labels).sum()


def leave_beside_the_weights(job: Job, recorder: Recorder, plan: Plan) -> None:
    """Tokenizer, how to load the model, curve and record; checkpoints are not needed any more."""
    folder = Path(job.folder)
    load_tokenizer(job.model).save_pretrained(folder)
    write_reference(folder, Reference(dtype=job.reference.dtype, attention=job.reference.attention))
    facts = json.loads((Path(job.tokens) / FACTS).read_text())
    write_record(recorder.progress, plan, facts, folder)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
