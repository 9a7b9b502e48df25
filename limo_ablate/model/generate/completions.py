"""Generates the completions of several benchmarks in one pass; each benchmark's are an artifact."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.progress import report_progress
from limo_ablate.core.text import ends_in_a_loop
from limo_ablate.model.config import TemplateConfig
from limo_ablate.model.generate.completion_cache import (
    Completion,
    CompletionCache,
    generation_key,
    open_cache,
)
from limo_ablate.model.generate.config import EngineConfig, SamplingSettings
from limo_ablate.model.generate.engine import Request, Sampling
from limo_ablate.model.generate.health import warn_of_missing_stops, warn_of_short_room
from limo_ablate.model.generate.oom import BatchSizes
from limo_ablate.model.train.base import model_path
from limo_ablate.model.train.chat import AS_IT_IS, ChatEncoder
from limo_ablate.model.train.load import load_tokenizer
from limo_ablate.model.train.model_config import context_length, model_config

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from limo_ablate.model.generate.open import Opener

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
class GenerationRequest:
    """A request for `samples` completions of each problem."""

    problems: Artifact
    """Artifact with `problems.parquet`, which has `id` and `text`."""
    samples: int
    sampling: Sampling
    system_prompt: str | None
    template: TemplateConfig = AS_IT_IS
    raw: bool = False
    """Whether the prompt is the problem's text alone, without chat template and system prompt."""
    filled_in: bool = False
    """Of a raw prompt: whether it is a chat template that is filled in, whose control tokens are tokens."""


def generation_request(
    problems: Artifact,
    settings: SamplingSettings,
    system_prompt: str | None,
    seed: int,
    template: TemplateConfig = AS_IT_IS,
) -> GenerationRequest:
    """Completions sampled as `settings` say; greedy ones depend on neither seed nor top_p."""
    top_p, seed = (settings.top_p, seed) if settings.temperature > 0 else (1.0, 0)
    sampling = Sampling(settings.temperature, top_p, settings.max_tokens, seed)
    return GenerationRequest(
        problems=problems,
        samples=settings.samples,
        sampling=sampling,
        system_prompt=system_prompt,
        template=template,
    )


def completions(
    store: Store,
    model: Artifact,
    requests: Mapping[str, GenerationRequest],
    settings: EngineConfig,
    hardware: HardwareConfig,
    opener: Opener | None = None,
    batch_sizes: BatchSizes | None = None,
) -> dict[str, Artifact]:
    """`completions.parquet` for each request, by a base or fine-tuned model that is loaded once for all.

    Only completions that are not cached are generated: an interrupted pass resumes, and more samples are
    added to earlier ones. `opener` replaces `open_engine`, to keep an engine for several calls; `batch_sizes`
    remembers for further calls what fits into memory. Raises UserError if the hardware is missing,
    TrialFailure if a replica fails or if memory does not suffice for a single completion.
    """
    inputs = {
        name: {"benchmark": name, **_inputs(request), **generation_key(model, settings, hardware)}
        for name, request in requests.items()
    }
    artifacts = {name: store.find("completions", inputs[name]) for name in requests}
    if missing := {name: request for name, request in requests.items() if artifacts[name] is None}:
        tokenizer = load_tokenizer(model_path(model))
        singles = {name: single_requests(request, tokenizer) for name, request in missing.items()}
        context = context_length(model_config(model_path(model)))
        for name, single in singles.items():
            warn_of_short_room(name, single, context)
        with ExitStack() as files:
            caches = {  # opened in one order everywhere, so that two processes can't deadlock
                sampling: files.enter_context(open_cache(store, model, sampling, settings, hardware))
                for sampling in sorted({request.sampling for request in missing.values()}, key=repr)
            }
            drawing = _Drawing(model, tokenizer, singles, caches, hardware, opener)
            drawing.fill_caches(settings, batch_sizes or BatchSizes())
            for name, request in missing.items():
                table = _table(name, singles[name], caches[request.sampling])
                if not request.raw:  # a probe's continuation need not end
                    warn_of_missing_stops(name, table, request.sampling.max_tokens)

                def make(folder: Path, table: pl.DataFrame = table) -> None:
                    table.write_parquet(folder / TABLE)

                artifacts[name] = store.build("completions", inputs[name], make)
    return {name: artifact for name, artifact in artifacts.items() if artifact is not None}


def single_requests(request: GenerationRequest, tokenizer: PreTrainedTokenizerFast) -> list[Request]:
    """A request for each sample of each problem, in the table's order."""
    problems = pl.read_parquet(request.problems.path / "problems.parquet", columns=["id", "text"])
    texts, encoder = problems["text"].to_list(), ChatEncoder(tokenizer, request.template)
    if request.raw:
        prompts = encoder.filled_in(texts) if request.filled_in else encoder.raw(texts)
    else:
        prompts = encoder.prompts(texts, request.system_prompt)
    return [
        Request(problem, sample, prompt.text, prompt.ids, request.sampling, prompt.escaped)
        for problem, prompt in zip(problems["id"], prompts, strict=True)
        for sample in range(request.samples)
    ]


def _inputs(request: GenerationRequest) -> dict[str, object]:
    """The request as an artifact's inputs."""
    return {
        "problems": request.problems,
        "samples": request.samples,
        "sampling": request.sampling,
        "system_prompt": request.system_prompt,
        "raw": request.raw,
        **({"filled_in": True} if request.filled_in else {}),
        **request.template.as_input(),
    }


@dataclass(frozen=True, slots=True)
class _Drawing:
    """One pass over what the caches lack."""

    model: Artifact
    tokenizer: PreTrainedTokenizerFast
    requests: Mapping[str, list[Request]]
    caches: Mapping[Sampling, CompletionCache[Completion]]
    hardware: HardwareConfig
    opener: Opener | None

    def fill_caches(self, settings: EngineConfig, batch_sizes: BatchSizes) -> None:
        """Generates the completions that the caches lack, each once."""
        missing = {name: left for name, part in self.requests.items() if (left := self._missing(part))}
        if not missing:
            return
        total = len(self._missing([request for part in missing.values() for request in part]))

        def generate(reduced: EngineConfig) -> None:
            left = self._missing([request for part in missing.values() for request in part])
            self._generate(left, reduced, total)

        batch_sizes.generate_within_memory(self.model.key, missing, settings, generate)

    def _missing(self, requests: Iterable[Request]) -> list[Request]:
        """Those of `requests` that the caches lack; of equal ones the last."""
        return list(
            {
                (request.prompt, request.problem, request.sample, request.sampling, request.escaped): request
                for request in requests
                if request not in self.caches[request.sampling]
            }.values()
        )

    def _generate(self, requests: list[Request], settings: EngineConfig, total: int) -> None:
        """Adds each completion to its cache as soon as it is finished; `total`: of the whole pass."""
        from limo_ablate.model.generate.open import open_engine

        scratch_dir = next(iter(self.caches.values())).scratch_dir
        engine = (self.opener or open_engine)(model_path(self.model), settings, self.hardware, scratch_dir)
        tokens, started = 0, time.perf_counter()
        for count, done in enumerate(engine.generate(requests), start=1 + total - len(requests)):
            text = self.tokenizer.decode(done.ids, skip_special_tokens=True)
            self.caches[done.request.sampling].add(done.request, Completion(text, len(done.ids), done.finish))
            tokens += len(done.ids)
            report_progress("completions", count, total, tokens / (time.perf_counter() - started))


def _table(name: str, requests: list[Request], cache: CompletionCache[Completion]) -> pl.DataFrame:
    rows = []
    for request in requests:
        cached = cache[request]
        row = (
            name,
            request.problem,
            request.sample,
            request.prompt,
            cached.completion,
            cached.tokens,
            cached.finish,
        )
        rows.append((*row, ends_in_a_loop(cached.completion)))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
