"""The memory forecast of limo_ablate.model.train.memory beside the bytes that tensors held, on the CPU.

    python benchmarks/memory.py [--out benchmarks/results/memory.md]

Two steps of our loop on Qwen2 shapes with random weights. `held` counts every tensor as operators make and
drop it (tests/live_bytes.py); the process's own memory says as much, with all that Python has beside.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from benchmarks import gpu, trainers  # noqa: E402
from limo_ablate.core.hardware import HardwareConfig  # noqa: E402
from limo_ablate.model.train.base import Reference  # noqa: E402
from limo_ablate.model.train.config import LoraConfig, TrainConfig  # noqa: E402
from limo_ablate.model.train.loop import Job, fine_tune  # noqa: E402
from limo_ablate.model.train.memory_check import LINEAR, Demand  # noqa: E402
from limo_ablate.model.train.token_rows import TokenRows, read_tokens  # noqa: E402
from tests.live_bytes import LiveBytes  # noqa: E402

SHAPES = {
    "5M": {"width": 256, "mlp": 768, "layers": 6, "heads": 4, "keys": 4, "vocabulary": 512, "tied": True},
    "19M": {"width": 512, "mlp": 1536, "layers": 6, "heads": 8, "keys": 2, "vocabulary": 4096, "tied": True},
    "104M": {
        "width": 768, "mlp": 2304, "layers": 12, "heads": 12, "keys": 4, "vocabulary": 16384, "tied": False,
    },
}  # fmt: skip
LORA = LoraConfig(rank=16, alpha=32, dropout=0.0, targets=LINEAR)
CASES: dict[str, dict[str, Any]] = {
    "full": {},
    "full, checkpointing": {"gradient_checkpointing": True},
    "full, a quarter at a time": {"quarter": True},
    "full, bf16": {"precision": "bf16"},
    "full, bf16, checkpointing": {"precision": "bf16", "gradient_checkpointing": True},
    "LoRA": {"lora": LORA},
    "LoRA, bf16": {"lora": LORA, "precision": "bf16"},
}
BATCH, LENGTH = 8, 256


@dataclass(frozen=True)
class Case:
    folder: Path
    train: TrainConfig
    hardware: HardwareConfig

    def held(self) -> int:
        job = Job(
            tokens=str(self.folder / "tokens"), model=str(self.folder / "model"),
            reference=Reference(dtype="bfloat16", attention="sdpa"), train=self.train,
            hardware=self.hardware, folder=str(self.folder / "out"),
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as out, LiveBytes() as live:
            fine_tune(replace(job, folder=out))
        return live.peak

    def forecast(self) -> int:
        rows = read_tokens(self.folder / "tokens")
        return Demand(rows, str(self.folder / "model"), self.train, self.hardware).forecast().total


def case_of(folder: Path, changes: dict[str, Any]) -> Case:
    tokens = BATCH * LENGTH // (4 if changes.get("quarter") else 1)
    setting = trainers.Setting(
        folder, steps=2, batch=BATCH, pass_tokens=tokens, precision=changes.get("precision", "no"),
        gradient_checkpointing=changes.get("gradient_checkpointing", False),
    )  # fmt: skip
    return Case(folder, replace(setting.train, lora=changes.get("lora")), setting.hardware)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = ["| parameters | training | forecast MB | held MB | forecast / held |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        for size, shape in SHAPES.items():
            folder = Path(name) / size
            gpu.write_model(folder / "model", shape, "cpu")
            write_rows(folder, shape["vocabulary"])
            for label, changes in CASES.items():
                case = case_of(folder, changes)
                forecast, held = case.forecast() / 1e6, case.held() / 1e6
                lines.append(f"| {size} | {label} | {forecast:.0f} | {held:.0f} | {forecast / held:.2f} |")
                print(lines[-1], file=sys.stderr)
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text)


def write_rows(folder: Path, vocabulary: int) -> None:
    lengths = np.full(BATCH, LENGTH)
    offsets = np.cumsum([0, *lengths]).astype(np.int64)
    ids = np.random.default_rng(0).integers(1, vocabulary, offsets[-1], dtype=np.int32)
    trainers.write_rows(folder / "tokens", TokenRows(ids, offsets, lengths // 5, np.arange(BATCH)))


if __name__ == "__main__":
    main()
