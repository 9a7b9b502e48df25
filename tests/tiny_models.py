"""A pool of small sums, a tiny random Qwen2 with a tokenizer of its text, and short trainings: for tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.config import ArchitectureConfig, ModelConfig
from limo_ablate.model.train.base import base_model
from limo_ablate.model.train.config import TrainConfig
from limo_ablate.model.train.tokens import tokenize

ARCHITECTURE = ArchitectureConfig(width=32, layers=2, heads=2, head_dim=16, context=256, vocab_size=270)
SCRATCH = ModelConfig(name="tiny", source="scratch", dtype="float32", architecture=ARCHITECTURE)
WIDER = ArchitectureConfig(width=64, layers=2, heads=2, head_dim=32, context=256, vocab_size=270)
"""bitsandbytes quantises 64 weights together."""
CPU = HardwareConfig(name="cpu", device="cpu", processes=1, strategy="single", precision="no", threads=1)
TWO_RANKS = replace(CPU, name="cpu2", processes=2, strategy="ddp")
TRAIN = TrainConfig(
    epochs=None, steps=6, tokens=None, learning_rate=1e-2, schedule="cosine", warmup_ratio=0.0,
    weight_decay=0.1, betas=(0.9, 0.95), grad_clip=1.0, global_batch_size=5, micro_batch_tokens=150,
    max_length=256, system_prompt=None, gradient_checkpointing=False, checkpoint_seconds=1e9, lora=None,
    seed=0,
)  # fmt: skip


def sums(count: int) -> pl.DataFrame:
    """Rows of a selection: sums of two to four numbers, so that rows differ in length."""
    rows: list[dict[str, str]] = []
    for number in range(count):
        terms = [number + 7 * k for k in range(2 + number % 3)]
        text = " + ".join(map(str, terms))
        totals = [sum(terms[:k]) for k in range(1, len(terms) + 1)]
        steps = [f"{a} and {t} is {b}." for a, t, b in zip(totals, terms[1:], totals[1:], strict=False)]
        row = {"problem": f"p{number}", "solution": f"s{number}", "text": f"What is {text}?"}
        answer = f"\\boxed{{{totals[-1]}}}"
        rows.append({**row, "response": " ".join([*steps, answer]), "gold": str(totals[-1])})
    return pl.DataFrame(rows)


def made_pool(store: Store) -> Artifact:
    rows = sums(40)

    def make(folder: Path) -> None:
        problems = rows.select(id="problem", text="text", gold="gold", source=pl.lit("sums"))
        problems.write_parquet(folder / "problems.parquet")
        rows.select(id="solution", problem="problem", text="response").write_parquet(
            folder / "solutions.parquet"
        )

    return store.build("pool", {"test": "sums"}, make)


def made_selection(store: Store, count: int) -> Artifact:
    return store.build(
        "selection", {"test": count}, lambda folder: sums(count).write_parquet(folder / "rows.parquet")
    )


def made_base(store: Store, model: ModelConfig = SCRATCH) -> Artifact:
    return base_model(store, model, made_pool(store))


def made_tokens(store: Store, base: Artifact, count: int = 12, train: TrainConfig = TRAIN) -> Artifact:
    return tokenize(store, made_selection(store, count), base, train)


def hub_model(folder: Path) -> ModelConfig:
    """The model saved in `folder`, as if it had come from the hub."""
    return ModelConfig(name="local", source="hub", path=str(folder), dtype="float32")
