"""Completions of a benchmark's problems as a stage; what is finished is on disk at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from limo_ablate.artifacts import Artifact, Store
from limo_ablate.config import BenchmarkConfig, EvalConfig, HardwareConfig
from limo_ablate.errors import UserError
from limo_ablate.generate.engine import Completed, Engine, Request, Sampling
from limo_ablate.train.base import model_path
from limo_ablate.train.load import end_of_turn, load_model, load_tokenizer, windowed
from limo_ablate.train.tokens import encode_texts, prompt_texts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

VERSION = 1
TABLE, LINES = "completions.parquet", "completions.jsonl"
SCHEMA = {
    "benchmark": pl.String,
    "problem": pl.String,
    "sample": pl.Int64,
    "prompt": pl.String,
    "completion": pl.String,
    "tokens": pl.Int64,
    "finish": pl.String,
}


def completions(
    store: Store,
    model: Artifact,
    problems: Artifact,
    name: str,
    benchmark: BenchmarkConfig,
    evaluation: EvalConfig,
    hardware: HardwareConfig,
) -> Artifact:
    """`benchmark.samples` completions of each problem by a base or fine-tuned model.

    An interrupted stage goes on with the completions that are missing. Raises UserError when the
    hardware is not there.
    """
    seed = evaluation.seed if benchmark.temperature else 0
    sampling = Sampling(benchmark.temperature, benchmark.top_p, benchmark.max_tokens, seed)
    inputs = {
        "model": model,
        "problems": problems,
        "benchmark": name,
        "samples": benchmark.samples,
        "sampling": sampling,
        "system_prompt": evaluation.system_prompt,
        "engine": evaluation.engine,
        "hardware": {"device": hardware.device, "precision": hardware.precision},
    }

    def make(folder: Path) -> None:
        tokenizer = load_tokenizer(model_path(model))
        table = pl.read_parquet(problems.path / "problems.parquet")
        wanted = requests(table, tokenizer, benchmark.samples, evaluation.system_prompt)
        rows = _read_lines(folder / LINES)
        done = {(row["problem"], row["sample"]) for row in rows}
        missing = [request for request in wanted if (request.problem, request.sample) not in done]
        if missing:
            engine = open_engine(model, tokenizer, evaluation, hardware)
            with (folder / LINES).open("a") as lines:
                for row in _rows(engine, missing, sampling, tokenizer, name):
                    lines.write(json.dumps(row) + "\n")
                    lines.flush()
                    rows.append(row)
        _write_table(rows, wanted, folder)

    return store.build("completions", VERSION, inputs, make, resume=True)


def requests(
    problems: pl.DataFrame, tokenizer: PreTrainedTokenizerFast, samples: int, system_prompt: str | None
) -> list[Request]:
    """What is asked for: `samples` completions of each problem, in the table's order."""
    prompts = prompt_texts(tokenizer, problems["text"].to_list(), system_prompt)
    ids = encode_texts(tokenizer, prompts)
    return [
        Request(problem, sample, prompt, tokens)
        for problem, prompt, tokens in zip(problems["id"], prompts, ids, strict=True)
        for sample in range(samples)
    ]


def open_engine(
    model: Artifact, tokenizer: PreTrainedTokenizerFast, evaluation: EvalConfig, hardware: HardwareConfig
) -> Engine:
    """The engine of `evaluation.engine` with `model` loaded on the hardware, seeded, ready to generate."""
    import torch

    from limo_ablate.generate.decoding import TransformersEngine

    if hardware.device == "cuda" and not torch.cuda.is_available():
        raise UserError(f"hardware={hardware.name} wants a GPU, none can be seen here; use hardware=cpu")
    torch.set_num_threads(hardware.threads)
    network = load_model(
        model_path(model),
        dtype="bfloat16" if hardware.precision == "bf16" else "float32",
        attention="sdpa",  # decoding masks each sequence by itself, which FlashAttention's kernels can't
        device=hardware.device,
    )
    if windowed(network):
        raise UserError(
            f"{model_path(model)}: eval.engine=transformers decodes models with full attention only, "
            "this one has sliding windows"
        )
    return TransformersEngine(network, stop_ids(network, tokenizer), evaluation.batch_size)


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> set[int]:
    """Tokens that end a completion: the template's end of turn, and what the model's own settings name."""
    named: Any = model.generation_config.eos_token_id if model.generation_config else None
    own = named if isinstance(named, list) else [named]
    return {
        int(token) for token in (end_of_turn(tokenizer), tokenizer.eos_token_id, *own) if token is not None
    }


def _rows(
    engine: Engine,
    wanted: list[Request],
    sampling: Sampling,
    tokenizer: PreTrainedTokenizerFast,
    benchmark: str,
) -> Iterator[dict[str, Any]]:
    """Rows of completions.parquet as the engine finishes them."""
    for done in engine.generate(wanted, sampling):
        yield _row(done, tokenizer, benchmark)


def _row(done: Completed, tokenizer: PreTrainedTokenizerFast, benchmark: str) -> dict[str, Any]:
    return {
        "benchmark": benchmark,
        "problem": done.request.problem,
        "sample": done.request.sample,
        "prompt": done.request.prompt,
        "completion": tokenizer.decode(done.ids, skip_special_tokens=True),
        "tokens": len(done.ids),
        "finish": done.finish,
    }


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Whole lines of an interrupted attempt; the line it was killed in is cut off."""
    if not path.exists():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    path.write_text(whole)
    return [json.loads(line) for line in whole.splitlines()]


def _write_table(rows: list[dict[str, Any]], wanted: list[Request], folder: Path) -> None:
    order = {(request.problem, request.sample): number for number, request in enumerate(wanted)}
    rows.sort(key=lambda row: order[row["problem"], row["sample"]])
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(folder / TABLE)
    (folder / LINES).unlink(missing_ok=True)
