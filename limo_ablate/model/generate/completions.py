"""Completions of several benchmarks: drawn in one pass, kept sample by sample, an artifact of each."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.progress import report_progress
from limo_ablate.model.generate.completion_cache import Drawn, Text, drawn_by, opened
from limo_ablate.model.generate.config import EngineConfig, Sampled
from limo_ablate.model.generate.engine import Request, Sampling
from limo_ablate.model.generate.health import ends_in_a_loop, warn_of_unlearnt_ends
from limo_ablate.model.train.base import model_path
from limo_ablate.model.train.load import load_tokenizer
from limo_ablate.model.train.tokens import encode_texts, prompt_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from limo_ablate.model.generate.open import Opener

VERSION = 2
TABLE = "completions.parquet"
SCHEMA = {
    "benchmark": pl.String,
    "problem": pl.String,
    "sample": pl.Int64,
    "prompt": pl.String,
    "completion": pl.String,
    "tokens": pl.Int64,
    "finish": pl.String,
    "loops": pl.Boolean,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is wanted of a model: `samples` completions of each problem."""

    problems: Artifact
    """`problems.parquet` with `id` and `text`."""
    samples: int
    sampling: Sampling
    system_prompt: str | None
    raw: bool = False
    """The problem's text itself is the prompt, without chat template and system prompt."""


def asked(
    problems: Artifact,
    how: Sampled,
    system_prompt: str | None,
    seed: int,
) -> Asked:
    """As `how` samples them; greedy completions depend on neither seed nor top_p."""
    drawn = how.temperature > 0
    sampling = Sampling(how.temperature, how.top_p if drawn else 1.0, how.max_tokens, seed if drawn else 0)
    return Asked(problems=problems, samples=how.samples, sampling=sampling, system_prompt=system_prompt)


def completions(
    store: Store,
    model: Artifact,
    wanted: Mapping[str, Asked],
    settings: EngineConfig,
    hardware: HardwareConfig,
    opener: Opener | None = None,
) -> dict[str, Artifact]:
    """`completions.parquet` of each of `wanted`, by a base or fine-tuned model that is loaded once for all.

    Only what was never drawn is generated: an interrupted pass goes on, more samples are added to those that
    are there. `opener` opens the engine, where one is to be kept for more. Raises UserError when the
    hardware is not there, TrialFailure when a replica dies.
    """
    inputs = {
        name: {"benchmark": name, **_inputs(ask), **drawn_by(model, settings, hardware)}
        for name, ask in wanted.items()
    }
    found = {name: store.find("completions", VERSION, inputs[name]) for name in wanted}
    if missing := {name: ask for name, ask in wanted.items() if found[name] is None}:
        tokenizer = load_tokenizer(model_path(model))
        requests = {name: requests_of(ask, tokenizer) for name, ask in missing.items()}
        with ExitStack() as files:
            drawn = {
                sampling: files.enter_context(opened(store, model, sampling, settings, hardware))
                for sampling in sorted({ask.sampling for ask in missing.values()}, key=repr)  # no deadlock
            }
            _draw(model, tokenizer, requests, drawn, settings, hardware, opener)
            for name, ask in missing.items():
                table = _table(name, requests[name], drawn[ask.sampling])
                if not ask.raw:  # a probe's continuation has no end to find
                    warn_of_unlearnt_ends(name, table, ask.sampling.max_tokens)

                def make(folder: Path, table: pl.DataFrame = table) -> None:
                    table.write_parquet(folder / TABLE)

                found[name] = store.build("completions", VERSION, inputs[name], make)
    return {name: artifact for name, artifact in found.items() if artifact is not None}


def requests_of(ask: Asked, tokenizer: PreTrainedTokenizerFast) -> list[Request]:
    """One for each sample of each problem, in the table's order."""
    problems = pl.read_parquet(ask.problems.path / "problems.parquet", columns=["id", "text"])
    texts = problems["text"].to_list()
    prompts = texts if ask.raw else prompt_texts(tokenizer, texts, ask.system_prompt)
    ids = encode_texts(tokenizer, prompts)
    return [
        Request(problem, sample, prompt, tokens, ask.sampling)
        for problem, prompt, tokens in zip(problems["id"], prompts, ids, strict=True)
        for sample in range(ask.samples)
    ]


def _inputs(ask: Asked) -> dict[str, object]:
    """Fields of `ask` as an artifact's inputs: bytes of the problems, not where they lie."""
    return {
        "problems": ask.problems,
        "samples": ask.samples,
        "sampling": ask.sampling,
        "system_prompt": ask.system_prompt,
        "raw": ask.raw,
    }


def _draw(
    model: Artifact,
    tokenizer: PreTrainedTokenizerFast,
    requests: Mapping[str, list[Request]],
    drawn: Mapping[Sampling, Drawn],
    settings: EngineConfig,
    hardware: HardwareConfig,
    opener: Opener | None,
) -> None:
    """Generates what `drawn` lacks, each completion once, and adds it as soon as it is finished."""
    asked_for = {
        (request.prompt, request.problem, request.sample, request.sampling): request
        for part in requests.values()
        for request in part
        if request not in drawn[request.sampling]
    }
    if not asked_for:
        return
    from limo_ablate.model.generate.open import open_engine

    desk = next(iter(drawn.values())).desk
    engine = (opener or open_engine)(model_path(model), settings, hardware, desk)
    tokens, started = 0, time.perf_counter()
    for count, done in enumerate(engine.generate(list(asked_for.values())), start=1):
        text = tokenizer.decode(done.ids, skip_special_tokens=True)
        drawn[done.request.sampling].add(done.request, Text(text, len(done.ids), done.finish))
        tokens += len(done.ids)
        report_progress("completions", count, len(asked_for), tokens / (time.perf_counter() - started))


def _table(name: str, requests: list[Request], drawn: Drawn) -> pl.DataFrame:
    rows = []
    for request in requests:
        text = drawn[request]
        row = (
            name,
            request.problem,
            request.sample,
            request.prompt,
            text.completion,
            text.tokens,
            text.finish,
        )
        rows.append((*row, ends_in_a_loop(text.completion)))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
