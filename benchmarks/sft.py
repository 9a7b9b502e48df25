"""Tokens per second of our training loop, of TRL's SFTTrainer and of a plain padded loop, on one CPU thread.

    python benchmarks/sft.py [--rounds 5] [--text FILE.jsonl] [--out benchmarks/results/sft.md]
    python benchmarks/sft.py --text FILE.jsonl --model FOLDER [--lora 16] [--trainers ours TRL]

The same model with random weights, the same 256 rows in the same batches of 8, float32, AdamW, gradients
clipped. Each trainer has a process of its own, which has imported everything; they take turns, so that all
meet the same load of the machine, and processor time is what counts. The first steps are not timed. `--text`
takes rows of `question` and `answer` (GSM8K's) with a byte-level tokenizer made of them, instead of the
miniature's; `--model` takes a model of the hub's format, with its tokenizer, instead of random weights.
Needs the `benchmarks` extra.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

ROWS = 256
SHAPES = {"0.23M": {"hidden_size": 64, "layers": 4}, "5.2M": {"hidden_size": 256, "layers": 6}}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "ours": ("ours", {}),
    "ours, a row at a time": ("ours", {"pass_tokens": 1}),
    "TRL": ("trl", {}),
    "TRL, grouped by length": ("trl", {"train_sampling_strategy": "group_by_length"}),
    "TRL, packed": ("trl", {"packing": True}),
    "plain loop, padded": ("plain", {}),
}
"""Name -> trainer, and what it does otherwise."""


def main() -> None:
    options = arguments()
    if options.model:
        options.sizes = [options.model.name]
    with tempfile.TemporaryDirectory() as folder:
        results = {size: measured(size, Path(folder) / size, options) for size in options.sizes}
    text = report(results, options)
    print(text)
    if options.out:
        options.out.write_text(text)


def measured(size: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Name of each trainer -> its tokens/s by round and the memory it took; `lengths` of the rows."""
    lengths, all_names = make_inputs(folder, size, options), options.trainers
    result: dict[str, Any] = {"lengths": lengths, "rates": {name: [] for name in all_names}, "memory": {}}
    with workers(folder, int(options.batch * sum(lengths) / len(lengths)), options) as pipes:
        for number in range(options.rounds):
            turn = number % len(all_names)
            names = all_names[turn:] + all_names[:turn]
            for name in names:
                pipes[name].send(number)
                rate, memory = pipes[name].recv()
                result["rates"][name].append(rate)
                result["memory"][name] = memory
                print(f"{size} round {number + 1} {name}: {rate:,.0f} tokens/s", file=sys.stderr)
    return result


def make_inputs(folder: Path, size: str, options: argparse.Namespace) -> list[int]:
    """Writes `model/` and `tokens/` in `folder`; returns the rows' lengths."""
    from limo_ablate.core.artifacts import Store
    from limo_ablate.data.pool.load import load_pool
    from limo_ablate.model.config import ModelConfig
    from limo_ablate.model.train.base import base_model
    from limo_ablate.model.train.token_rows import read_tokens
    from limo_ablate.model.train.tokens import tokenize
    from limo_ablate.trial.compose import compose
    from limo_ablate.trial.rows import select_rows
    from limo_ablate.trial.run import trained_model
    from limo_ablate.trial.stages import Stages

    store, config = Store(folder / "store"), compose([f"select.size={ROWS}", "select.quality=L5"])
    text = options.text
    if options.model:
        folder.mkdir()
        (folder / "model").symlink_to(options.model.resolve())
    else:
        save_model(folder / "model", SHAPES[size], text)
    pool = load_pool(store, config.data)
    base = base_model(store, ModelConfig(name="b", source="hub", path=str(folder / "model")), pool)
    if text:
        rows = store.build("selection", {"text": text}, lambda made: write_text_rows(text, made))
    else:
        rows = select_rows(config, Stages(), pool, base, trained_model)
    tokens = tokenize(store, rows, base, replace(config.train, max_length=4096))
    (folder / "tokens").symlink_to(tokens.path)
    lengths: list[int] = read_tokens(tokens.path).lengths.tolist()
    return lengths


def save_model(folder: Path, shape: dict[str, int], text: Path | None) -> None:
    """A Qwen2 of this shape with random weights, and the tokenizer of its rows."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from limo_ablate.model.miniature.tokenizer import make_tokenizer
    from limo_ablate.model.train.scratch import byte_level_bpe

    tokenizer = byte_level_bpe(texts(text), 2000) if text else make_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    width = shape["hidden_size"]
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=3 * width,
        num_hidden_layers=shape["layers"], num_attention_heads=4, num_key_value_heads=4,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)


def texts(file: Path) -> list[str]:
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [row[field] for row in rows for field in ("question", "answer")]


def write_text_rows(file: Path, folder: Path) -> None:
    import polars as pl

    rows = [json.loads(line) for line in file.read_text().splitlines()][:ROWS]
    pl.DataFrame(
        [
            {"problem": str(n), "text": row["question"], "response": row["answer"]}
            for n, row in enumerate(rows)
        ]
    ).write_parquet(folder / "rows.parquet")


@contextmanager
def workers(folder: Path, block: int, options: argparse.Namespace) -> Iterator[dict[str, Connection]]:
    """A process for each trainer, and the pipes to them."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name in options.trainers:
        pipes[name], theirs = context.Pipe()
        processes.append(
            context.Process(target=work, args=(theirs, name, folder, block, options), daemon=True)
        )
        processes[-1].start()
    try:
        yield pipes
    finally:
        for process in processes:
            process.kill()


def work(pipe: Connection, name: str, folder: Path, block: int, asked_for: argparse.Namespace) -> None:
    """Trains each time it is told to; answers with tokens/s and the bytes that the first training took."""
    import torch

    from benchmarks import trainers

    torch.set_num_threads(1)
    trainer, options = ARMS[name]
    setting = trainers.Setting(
        folder,
        asked_for.steps,
        asked_for.batch,
        options.get("pass_tokens", 1 << 20),
        lora_rank=asked_for.lora,
    )
    if options.get("packing"):
        options = {**options, "max_length": block, "per_device_train_batch_size": 1}
    elif "pass_tokens" in options:
        options = {}
    importlib.import_module({"ours": "limo_ablate.model.train.loop"}.get(trainer, "trl.trainer.sft_trainer"))
    before, memory = resident("VmRSS"), 0
    while True:
        out = folder / "out" / f"{name}-{pipe.recv()}"
        steps = getattr(trainers, trainer)(setting, out, **options)
        memory = memory or resident("VmHWM") - before
        pipe.send((steps.rate(asked_for.warm), memory))


def resident(entry: str) -> int:
    """Bytes that this process holds (VmRSS) or held at most (VmHWM)."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in status if line.startswith(entry))


def report(results: dict[str, dict[str, Any]], options: argparse.Namespace) -> str:
    import torch
    import transformers
    import trl

    lines = [
        f"trl {trl.__version__}, transformers {transformers.__version__}, torch {torch.__version__}, Python "
        f"{platform.python_version()}; {os.cpu_count()} shared cores, one thread, no GPU; "
        f"{options.rounds} rounds of {options.steps} steps of {options.batch} rows, the first {options.warm} "
        f"not timed; {f'LoRA of rank {options.lora}' if options.lora else 'all weights'}.",
    ]
    for size, result in results.items():
        lengths, rates = result["lengths"], result["rates"]
        lines += [
            "",
            f"{size}{'' if options.model else ' parameters'}; {len(lengths)} rows of {min(lengths)} to "
            f"{max(lengths)} tokens, "
            f"{statistics.mean(lengths):.0f} on average:",
            "",
            "| trainer | tokens/CPU s | ours / it, median | lowest to highest | memory after imports |",
            "|---|---|---|---|---|",
        ]
        for name, own in rates.items():
            ratios = sorted(a / b for a, b in zip(rates["ours"], own, strict=True))
            lines.append(
                f"| {name} | {statistics.median(own):,.0f} | {statistics.median(ratios):.2f} | "
                f"{ratios[0]:.2f} to {ratios[-1]:.2f} | {result['memory'][name] / 1e6:.0f} MB |"
            )
    return "\n".join(lines) + "\n"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--text", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--lora", type=int, default=0, help="rank of adapters; 0: all weights are trained")
    parser.add_argument("--trainers", nargs="+", choices=ARMS, default=list(ARMS), help="`ours` is one")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warm", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not 2 <= options.warm < options.steps:
        parser.error("--warm: from 2, for when our first step ends is not known, and less than --steps")
    return options


if __name__ == "__main__":
    main()
