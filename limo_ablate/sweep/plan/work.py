"""How long a trial takes by arithmetic alone, before any trial has run: the prior of the forecast.

Training: a token costs 6 operations for each parameter that is applied to it, and 6 L q n for attention over
n tokens (4 instead of 6 where weights are frozen, a third more with gradient checkpointing), at `train_flops`
for each device. Decoding: each step reads the weights, and the keys and values of the whole batch, or is
bound by its arithmetic. Both take a constant time for each step, and a trial has one of its own.

The GPU is an H100 (SXM): 989 TFLOP/s in bf16 at 40 % MFU, 3.35 TB/s at 60 %. The CPU figures are for one
core, in float32. On another machine both are wrong, and finished trials correct them (`cost`).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limo_ablate.core.hardware import device_count
from limo_ablate.data.pool.config import BenchmarkSetConfig
from limo_ablate.trial.config import TrialConfig

if TYPE_CHECKING:
    from limo_ablate.model.train.memory import Shape

ROW_SHARE, COMPLETION_SHARE = 0.5, 0.25
"""Expected length of a row as a share of train.max_length, and of a completion as a share of max_tokens."""
ROWS = 1000
"""Rows of a pool, assumed where select.size is null."""
PROBLEMS = 100
"""Problems of a benchmark, assumed where their number is not known."""
ASSUMED_MODEL = "qwen2_5_7b"
"""Model whose shape is assumed where a model's own is not known."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What one device reaches."""

    train_flops: float
    decode_flops: float
    bandwidth: float
    """Bytes per second."""
    step: float
    """Constant seconds of an optimiser step."""
    token: float
    """Constant seconds of a decoding step."""
    start: float
    """Constant seconds of a trial: loading, verification, writing."""


GPU = Speed(0.4 * 989e12, 0.4 * 989e12, 0.6 * 3.35e12, step=0.2, token=0.03, start=90.0)
CPU = Speed(25e9, 15e9, 8e9, step=0.006, token=0.01, start=0.6)


@dataclass(frozen=True, slots=True)
class StageSeconds:
    """Seconds of a trial, by stage."""

    train: float
    generate: float
    rest: float

    @property
    def total(self) -> float:
        return self.train + self.generate + self.rest


def prior(config: TrialConfig, shape: Shape | None) -> StageSeconds:
    """The prior of a trial whose base model exists already. Without a shape, ASSUMED_MODEL's."""
    speed = GPU if config.hardware.device == "cuda" else CPU
    shape = shape or _assumed_shape()
    return StageSeconds(_training(config, shape, speed), _decoding(config, shape, speed), speed.start)


def problem_count(benchmark: BenchmarkSetConfig) -> int:
    """Number of problems of a benchmark: as generated, from the lines of its file, or as `items` says."""
    made = benchmark.miniature
    if made:
        count = made.per_level * (made.levels[1] - made.levels[0] + 1)
    else:
        count = _lines(benchmark.path) or benchmark.items or PROBLEMS
    return min(count, benchmark.limit or count)


def steps_and_tokens(config: TrialConfig) -> tuple[int, float]:
    """Number of optimiser steps, and of tokens in forward passes."""
    train, select = config.train, config.select
    row = ROW_SHARE * train.max_length
    wanted = select.tokens if isinstance(select.tokens, int) else None
    rows = select.size if select.size is not None else (wanted or ROWS * row) / row
    row = wanted / rows if wanted and rows else row
    batch = min(train.global_batch_size, max(1, rows))
    if train.steps is not None:
        return train.steps, train.steps * batch * row
    if train.tokens is not None:
        return math.ceil(train.tokens / (batch * row)), float(train.tokens)
    epochs = train.epochs or 1
    return math.ceil(epochs * rows / train.global_batch_size), epochs * rows * row


def _training(config: TrialConfig, shape: Shape, speed: Speed) -> float:
    if config.select.size == 0:
        return 0.0
    steps, tokens = steps_and_tokens(config)
    attention = shape.layers * shape.queries * ROW_SHARE * config.train.max_length
    work = (4 if config.train.lora else 6) * (_applied_parameters(shape) + attention)
    work *= 4 / 3 if config.train.gradient_checkpointing else 1
    return tokens * work / (speed.train_flops * device_count(config.hardware)) + steps * speed.step


def _decoding(config: TrialConfig, shape: Shape, speed: Speed) -> float:
    settings, hardware = config.eval, config.hardware
    copies = max(1, hardware.processes // settings.tensor_parallel)
    width = device_count(hardware) / copies
    requests = [
        (problem_count(b) * b.samples, COMPLETION_SHARE * b.max_tokens) for b in settings.benchmarks.values()
    ]
    requests += [
        (problem_count(b), config.eval.probe.max_tokens)
        for b in settings.benchmarks.values()
        if config.eval.probe
    ]
    count = sum(completions for completions, _ in requests)
    tokens = sum(completions * length for completions, length in requests)
    if not count:
        return 0.0
    beside = min(settings.batch_size, max(1.0, count / copies))
    steps = max(tokens / (beside * copies), *(length for _, length in requests))
    kept = 2 * shape.layers * shape.keys * tokens / count / 2
    size = 2 if hardware.precision == "bf16" else 4
    reading = size * (_applied_parameters(shape) + beside * kept) / (speed.bandwidth * width)
    passes = 2 if settings.rerun_batch_size else 1
    computing = 2 * beside * _applied_parameters(shape) / (speed.decode_flops * width)
    passes += settings.models - 1 if config.select.size != 0 else 0
    return passes * steps * (max(reading, computing) + speed.token)


def _applied_parameters(shape: Shape) -> int:
    """Parameters that are applied to each token: all but an embedding that is only a look-up table."""
    return shape.parameters - (0 if shape.tied else shape.vocabulary * shape.width)


@cache
def _lines(path: str | None) -> int | None:
    if path is None or not path.endswith((".jsonl", ".json")) or not Path(path).is_file():
        return None
    content = Path(path).read_bytes()
    if path.endswith(".json"):
        rows: Any = json.loads(content)
        return len(rows) if isinstance(rows, list) else None
    return sum(bool(line.strip()) for line in content.splitlines())


@cache
def _assumed_shape() -> Shape:
    from limo_ablate.model.train.shapes import declared_shape
    from limo_ablate.trial.compose import compose

    return declared_shape(compose([f"model={ASSUMED_MODEL}"]).model)
