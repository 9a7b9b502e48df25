"""Qwen2.5 shapes with random weights through our loop, a plain padded one and TRL: tokens/s, MFU, memory; and
decoding by our engines, `model.generate` and, where it is installed, vLLM.

    python benchmarks/gpu.py [--shapes 0.5B 1.5B 7B] [--lengths 4096 16384] [--trainers ours plain trl]
    python benchmarks/gpu.py --device cpu --shapes tiny --lengths 64 128 --batch-tokens 512   # a dry run

Needs torch, transformers, accelerate and peft; TRL where it is installed. Nothing is downloaded. Each
training is a process of its own: bf16, full parameters in float32, fused AdamW, gradient checkpointing.
Rows have half to all of the given length, the last four fifths of each learnt; a batch has `--batch-tokens`.
MFU is against what large bf16 matrix products reach in the same process. `forecast` is what the trial would
say beforehand, beside the most that was allocated. The table goes to stdout, and to $OUT where that is set.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"width": 64, "mlp": 192, "layers": 2, "heads": 4, "keys": 2, "vocabulary": 512, "tied": True},
    "0.5B": {
        "width": 896,
        "mlp": 4864,
        "layers": 24,
        "heads": 14,
        "keys": 2,
        "vocabulary": 151936,
        "tied": True,
    },
    "1.5B": {
        "width": 1536,
        "mlp": 8960,
        "layers": 28,
        "heads": 12,
        "keys": 2,
        "vocabulary": 151936,
        "tied": True,
    },
    "7B": {
        "width": 3584,
        "mlp": 18944,
        "layers": 28,
        "heads": 28,
        "keys": 4,
        "vocabulary": 152064,
        "tied": False,
    },
}
"""Of the models' config.json."""
ROWS, STEPS, WARM = 64, 8, 3
PROMPT = 5
"""One token in so many of a row is prompt."""
COLUMNS = (
    "shape", "row tokens", "trainer", "tokens/s", "MFU %", "bf16 peak TFLOP/s", "peak GB", "forecast GB",
)  # fmt: skip


def main() -> None:
    options = arguments()
    if options.one:
        print(json.dumps(run_one(options)))
        return
    decoded: list[str] = []
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    with tempfile.TemporaryDirectory() as folder:
        for shape in options.shapes:
            model = Path(folder) / shape / "model"
            write_model(model, SHAPES[shape], options.device)
            for length in options.lengths:
                write_setting(Path(folder) / shape / str(length), model, length, shape)
                for trainer in trainers_here(options.trainers):
                    lines.append(row_of(Path(folder) / shape / str(length), shape, length, trainer, options))
                    print(lines[-1], file=sys.stderr, flush=True)
            if shape in options.decoding:
                decoded += ["", f"Decoding, {shape}:", "", decoding(model, options)]
    text = device_line(options.device) + "\n\n" + "\n".join([*lines, *decoded]) + "\n"
    print(text)
    if out := os.environ.get("OUT"):
        (Path(out) / "gpu.md").write_text(text)


def row_of(folder: Path, shape: str, length: int, trainer: str, options: argparse.Namespace) -> str:
    """The table's row of one training, made in a process of its own; how it failed, if it did."""
    command = [
        sys.executable, __file__, "--one", str(folder), "--trainers", trainer, "--device", options.device,
        "--batch-tokens", str(options.batch_tokens), "--lengths", str(length),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1][:120]
        return f"| {shape} | {length} | {trainer} | failed: {last} |" + " |" * (len(COLUMNS) - 4)
    got = json.loads(done.stdout.splitlines()[-1])
    mfu, peak = (f"{100 * got['flops'] / got['peak']:.1f}", f"{got['peak'] / 1e12:.3g}")
    memory = f"{got['memory'] / 1e9:.2f} | {got['forecast'] / 1e9:.2f}"
    return f"| {shape} | {length} | {trainer} | {got['rate']:,.0f} | {mfu} | {peak} | {memory} |"


def decoding(model: Path, options: argparse.Namespace) -> str:
    """The table of benchmarks/engines.py: random prompts, completions of one length."""
    tokens = "1024" if options.device == "cuda" else "8"
    command = [sys.executable, str(ROOT / "benchmarks" / "engines.py"), "--model", str(model)]
    command += ["--device", options.device, "--precision", "bfloat16", "--tokens", tokens, "--problems", "64"]
    command += ["--vllm", sys.executable] if importlib.util.find_spec("vllm") else []
    done = subprocess.run([*command, "--rounds", "2"], stdout=subprocess.PIPE, text=True)
    return done.stdout.strip() + (f"\nfailed: {done.returncode}" if done.returncode else "")


def run_one(options: argparse.Namespace) -> dict[str, float]:
    """Times one training in this process, then the device's peak."""
    import torch

    from benchmarks import trainers

    length = options.lengths[0]
    setting = trainers.Setting(
        folder=options.one, steps=STEPS, batch=max(1, options.batch_tokens * 4 // 3 // length),
        pass_tokens=length, device=options.device, precision="bf16", gradient_checkpointing=True,
    )  # fmt: skip
    trainer, before = options.trainers[0], resident()
    extra: dict[str, Any] = {}
    if trainer == "trl":
        extra = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": setting.batch}
    steps = getattr(trainers, trainer)(setting, options.one / f"out-{trainer}", **extra)
    cuda = options.device == "cuda"
    memory = torch.cuda.max_memory_allocated() if cuda else resident("VmHWM") - before
    operations, tokens = operations_of(setting)
    rate = steps.rate(WARM)
    return {
        "rate": rate,
        "flops": rate * operations / tokens,
        "peak": matmul_peak(options.device),
        "memory": memory,
        "forecast": forecast_of(setting),
    }


def operations_of(setting: Any) -> tuple[float, int]:
    """Floating point operations of the timed steps, by limo_ablate.model.train.speed, and their tokens."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from limo_ablate.model.train.loss import WithLoss
    from limo_ablate.model.train.speed import row_operations
    from limo_ablate.model.train.token_rows import read_tokens

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(setting.folder / "model"))
    rows, passed = read_tokens(setting.folder / "tokens"), np.concatenate(setting.batches()[WARM:])
    operations = row_operations(WithLoss(model), rows.lengths, rows.responses)
    assert operations is not None
    return float(operations[passed].sum()), int(rows.lengths[passed].sum())


def forecast_of(setting: Any) -> int:
    from limo_ablate.model.train.memory_check import Demand
    from limo_ablate.model.train.token_rows import read_tokens

    rows = read_tokens(setting.folder / "tokens")
    return Demand(rows, str(setting.folder / "model"), setting.train, setting.hardware).forecast().total


def matmul_peak(device: str) -> float:
    """Operations a second of large bf16 matrix products, the best of five."""
    import torch

    from benchmarks.trainers import now

    side, times = (8192, 20) if device == "cuda" else (1024, 2)
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        started = now(device)
        for _ in range(times):
            a @ b
        best = min(best, now(device) - started)
    return 2 * side**3 * times / best


def write_model(folder: Path, shape: dict[str, Any], device: str) -> None:
    """A Qwen2 of `shape` in bf16, and a tokenizer that is never asked for anything but its special tokens."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=shape["vocabulary"], hidden_size=shape["width"], intermediate_size=shape["mlp"],
        num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"],
        num_key_value_heads=shape["keys"], tie_word_embeddings=shape["tied"],
        max_position_embeddings=32768, rope_theta=1e6, eos_token_id=0, pad_token_id=0, bos_token_id=None,
    )  # fmt: skip
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        model = Qwen2ForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)
    end = "<|im_end|>"
    tokenizer = Tokenizer(models.WordLevel({end: 0}, unk_token=end))
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end, pad_token=end)
    wrapped.save_pretrained(folder)


def write_setting(folder: Path, model: Path, length: int, shape: str) -> None:
    from benchmarks.trainers import write_rows
    from limo_ablate.model.train.token_rows import TokenRows

    rng = np.random.default_rng(0)
    lengths = rng.integers(length // 2, length + 1, ROWS)
    offsets = np.cumsum([0, *lengths]).astype(np.int64)
    ids = rng.integers(1, SHAPES[shape]["vocabulary"], offsets[-1], dtype=np.int32)
    write_rows(folder / "tokens", TokenRows(ids, offsets, lengths // PROMPT, np.arange(ROWS)))
    (folder / "model").symlink_to(model)


def trainers_here(names: list[str]) -> list[str]:
    return [name for name in names if name != "trl" or importlib.util.find_spec("trl")]


def device_line(device: str) -> str:
    import torch
    import transformers

    name = torch.cuda.get_device_name() if device == "cuda" else "no GPU: a dry run, its figures mean nothing"
    return (
        f"{name}; torch {torch.__version__}, transformers {transformers.__version__}; {time.strftime('%F')}"
    )


def resident(entry: str = "VmRSS") -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in status if line.startswith(entry))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["0.5B", "1.5B", "7B"])
    parser.add_argument("--lengths", nargs="+", type=int, default=[4096, 16384])
    parser.add_argument(
        "--trainers", nargs="+", choices=("ours", "plain", "trl"), default=["ours", "plain", "trl"]
    )
    parser.add_argument("--decoding", nargs="*", choices=SHAPES, default=["1.5B"])
    parser.add_argument("--batch-tokens", type=int, default=65536)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--one", type=Path, help="internal: time one training of this folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
