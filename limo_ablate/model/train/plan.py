"""The plan of a training: the rows of each optimiser step and process, and the learning rate.

The order of rows depends on the seed and the epoch only, so any number of processes and any packing gives
the same global batches, and a resumed run continues where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from limo_ablate.core.errors import UserError
from limo_ablate.model.train.config import SCHEDULES, KeptConfig, Schedule, TrainConfig
from limo_ablate.model.train.packing import pack

Rows: TypeAlias = npt.NDArray[np.int64]
"""Row numbers, or one number for each row."""


def cosine(progress: float) -> float:
    return (1 + math.cos(math.pi * progress)) / 2


def linear(progress: float) -> float:
    return 1 - progress


def constant(progress: float) -> float:
    return 1.0


@dataclass(frozen=True)
class Plan:
    lengths: Rows
    """(rows,) number of tokens of each row."""
    responses: Rows
    """(rows,) number of response tokens, which have a loss."""
    train: TrainConfig
    problems: Rows | None = None
    """(rows,) number of each row's problem; null: every row has its own."""

    @cached_property
    def dev(self) -> Rows:
        """Rows held out of training: whole problems, drawn by the seed, until there are `train.dev.rows`.

        Raises UserError if no row would be left to train on.
        """
        if self.train.dev is None:
            return np.array([], np.int64)
        problems = np.arange(len(self.lengths)) if self.problems is None else self.problems
        draw = np.random.default_rng(np.random.SeedSequence(self.train.seed, spawn_key=(1,)))
        names, sizes = np.unique(problems, return_counts=True)
        order = draw.permutation(len(names))
        before = np.cumsum(sizes[order]) - sizes[order]
        held_out = np.flatnonzero(np.isin(problems, names[order[before < self.train.dev.rows]]))
        if len(held_out) == len(self.lengths):
            raise UserError(
                f"train.dev.rows={self.train.dev.rows}: all {len(self.lengths)} rows would be held out; "
                "use fewer, or null for no dev split"
            )
        return held_out

    @cached_property
    def rows(self) -> Rows:
        """Rows to train on."""
        return np.setdiff1d(np.arange(len(self.lengths)), self.dev)

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.rows) / self.train.global_batch_size)

    @cached_property
    def total_steps(self) -> int:
        """Number of optimiser steps, from `train.epochs`, `steps` or `tokens`; at least one."""
        if self.train.steps is not None:
            return self.train.steps
        if self.train.epochs is not None:
            return max(1, math.ceil(self.train.epochs * self.steps_per_epoch))
        assert self.train.tokens is not None
        trained = 0
        for step, batch in enumerate(self.batches(), start=1):
            trained += int(self.responses[batch].sum())
            if trained >= self.train.tokens:
                return step
        raise AssertionError("batches never end")

    def kept_steps(self, kept: KeptConfig) -> tuple[int, ...]:
        """Steps before the last one after which weights are kept. Raises UserError for one past the end."""
        per_point = self.steps_per_epoch if kept.unit == "epochs" else 1
        steps = [math.ceil(point * per_point - 1e-9) for point in kept.points]
        if steps[-1] > self.total_steps:
            raise UserError(
                f"eval.at.{kept.unit}: {kept.points[-1]:g} is step {steps[-1]}, but this training ends after "
                f"step {self.total_steps}, which is {self.total_steps / self.steps_per_epoch:g} epochs"
            )
        return tuple(sorted({step for step in steps if step < self.total_steps}))

    def batches(self) -> Iterator[Rows]:
        """Endlessly yields the rows of each global batch; the last batch of an epoch may be smaller."""
        size = self.train.global_batch_size
        for epoch in count():
            order = self.rows[np.random.default_rng([self.train.seed, epoch]).permutation(len(self.rows))]
            yield from np.split(order, range(size, len(order), size))

    def passes(self, batch: Rows, world: int) -> list[list[Rows]]:
        """The forward passes of `batch`, packed by `train.micro_batch_tokens`: in each, every rank's rows.

        All ranks take part in each, since collectives must match, with about the same number of tokens; a
        rank has none if there are too few rows.
        """
        bins = pack(self.lengths[batch].tolist(), self.train.micro_batch_tokens, world)
        return [
            [batch[places] for places in bins[first : first + world]] for first in range(0, len(bins), world)
        ]

    def learning_rate(self, step: int) -> float:
        """Learning rate of optimiser step `step` (from 0): warm-up, then down to 0 after the last step."""
        warmup = math.ceil(self.train.warmup_ratio * self.total_steps)
        if step < warmup:
            return self.train.learning_rate * (step + 1) / warmup
        progress = (step - warmup) / max(1, self.total_steps - warmup)
        return self.train.learning_rate * self._schedule(progress)

    @cached_property
    def _schedule(self) -> Schedule:
        return SCHEDULES.load(self.train.schedule)
