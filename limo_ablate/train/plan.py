"""Which rows each optimiser step sees, on which process, at which rate: decided before training begins.

The order depends on the seed and the epoch alone, so any number of processes and any micro-batch size
gives the same global batches, and a resumed run goes on where it was.
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

from limo_ablate.config import TrainConfig

Rows: TypeAlias = npt.NDArray[np.int64]
"""Row numbers, or a figure of each row."""


@dataclass(frozen=True)
class Plan:
    lengths: Rows
    """(rows,) tokens of each row."""
    responses: Rows
    """(rows,) of them learnt."""
    train: TrainConfig

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.lengths) / self.train.global_batch_size)

    @cached_property
    def total_steps(self) -> int:
        """Optimiser steps that the budget (epochs, steps or trained tokens) allows, at least one."""
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

    def batches(self) -> Iterator[Rows]:
        """Rows of each global batch, without end; the last batch of an epoch may be smaller."""
        size = self.train.global_batch_size
        for epoch in count():
            order = np.random.default_rng([self.train.seed, epoch]).permutation(len(self.lengths))
            yield from np.split(order, range(size, len(order), size))

    def micro_batches(self, batch: Rows, rank: int, world: int) -> list[Rows]:
        """The rows of `batch` that `rank` passes forward, rows of similar length together.

        Every rank gets the same number of micro-batches, since collectives must match; where rows run
        out, one is empty.
        """
        by_length = batch[np.argsort(-self.lengths[batch], kind="stable")]
        passes = math.ceil(len(batch) / (world * self.train.micro_batch_size))
        return list(np.array_split(by_length[rank::world], passes))

    def learning_rate(self, step: int) -> float:
        """Rate of optimiser step `step` (from 0): warm-up to the peak, then down to zero after the last."""
        warmup = math.ceil(self.train.warmup_ratio * self.total_steps)
        if step < warmup:
            return self.train.learning_rate * (step + 1) / warmup
        progress = (step - warmup) / max(1, self.total_steps - warmup)
        share = {
            "constant": 1.0,
            "linear": 1 - progress,
            "cosine": (1 + math.cos(math.pi * progress)) / 2,
        }[self.train.schedule]
        return self.train.learning_rate * share
