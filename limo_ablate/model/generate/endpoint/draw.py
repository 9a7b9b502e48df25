"""Draws completions from an endpoint: `completions.parquet`, as the engines of this machine make it.

Each sample is a request of its own. It is on the disk as soon as it has come, in a file that all trials share
which ask the same model with the same sampling, and is looked up there by what was asked. So nothing is paid
for twice: not after a kill, not by another trial, not for more problems or more samples of each. What a kill
leaves under way counts as spent, at the most that it may cost.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import json
import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.core.progress import keep_alive, report_progress
from limo_ablate.core.text import counted, ends_in_a_loop
from limo_ablate.model.generate.completion_cache import CompletionCache, cache_path, open_file
from limo_ablate.model.generate.completions import SCHEMA, TABLE, GenerationRequest
from limo_ablate.model.generate.endpoint.answer import Answer
from limo_ablate.model.generate.endpoint.client import Client
from limo_ablate.model.generate.endpoint.config import EndpointConfig
from limo_ablate.model.generate.engine import Request, Sampling

TOLD = {
    "note": pl.String, "tokens_in": pl.Int64, "model": pl.String, "fingerprint": pl.String, "drawn": pl.String
}  # fmt: skip
"""Further columns of the table, of `Answer`."""
CONNECT_SECONDS = 30.0
TEMPLATE_TOKENS = 64
"""Tokens that an endpoint's chat template adds to a prompt at most; of its text, each byte may be one."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is left to ask an endpoint for."""

    file: str
    """Name of the file that has the samples of these settings."""
    missing: dict[tuple[str, int], int]
    """(prompt, sample) of each sample that has not been drawn -> most tokens of its prompt."""
    most_tokens: int
    """Most tokens of each answer."""
    spent: float
    """Cost of all that was drawn with these settings, for other problems too."""


def endpoint_completions(
    store: Store, name: str, endpoint: EndpointConfig, request: GenerationRequest
) -> Artifact:
    """The completions of the request. Raises UserError and TrialFailure; what has come by then is kept."""
    inputs = {
        "benchmark": name,
        "problems": request.problems,
        "samples": request.samples,
        "system_prompt": request.system_prompt,
        **_file_inputs(endpoint, request.sampling),
    }
    if found := store.find("completions", inputs):
        return found
    with open_file(store, _file_inputs(endpoint, request.sampling), Answer) as cache:
        wanted = _requests(request)
        if missing := {(one.prompt, one.sample): one for *_, one in wanted if not _has(cache, one)}:
            log.warning("asking %s", describe(endpoint, [outlook(store, endpoint, request)]))
            _run(_Drawing(endpoint, endpoint.key(), cache), list(missing.values()))
        table = _table(name, wanted, cache)
    if len(models := table["model"].drop_nulls().unique().sort().to_list()) > 1:
        log.warning("%s: model=%s answered as %s", endpoint.host, endpoint.model, ", ".join(models))
    return store.build("completions", inputs, lambda folder: table.write_parquet(folder / TABLE))


def outlook(store: Store, endpoint: EndpointConfig, request: GenerationRequest) -> Outlook:
    """Reads what has been drawn, also while another process draws; asks nothing."""
    path = cache_path(store, _file_inputs(endpoint, request.sampling))
    elsewhere = store.lines(path)
    lines = b"".join(elsewhere.read()) if elsewhere else b""
    if path.exists():
        lines += path.read_bytes()
    cache = CompletionCache(io.BytesIO(lines), path, Answer)
    missing = {
        (one.prompt, one.sample): _most_tokens_in(one)
        for *_, one in _requests(request)
        if not _has(cache, one)
    }
    most = endpoint.most_tokens(request.sampling.max_tokens)
    return Outlook(path.name, missing, most, _spent(endpoint, cache))


def describe(endpoint: EndpointConfig, outlooks: Sequence[Outlook]) -> str:
    """What is asked for and what it may cost, on one line; samples that several need are asked for once.
    `outlooks`: of one file."""
    missing: dict[tuple[str, int], int] = {}
    for one in outlooks:
        missing |= one.missing
    tokens_in, tokens_out = sum(missing.values()), len(missing) * outlooks[0].most_tokens
    line = (
        f"{endpoint.model} at {endpoint.host}: {counted(len(missing), 'request')}, at most {tokens_in:,} "
        f"tokens of prompts and {tokens_out:,} of answers"
    )
    if None in (endpoint.price_in, endpoint.price_out):
        return f"{line}; cost unknown (price_in, price_out)"
    spent = outlooks[0].spent
    cap = "no budget" if endpoint.budget is None else f"budget {endpoint.budget:g}"
    return f"{line}: at most {endpoint.cost(tokens_in, tokens_out):.2f}; spent before {spent:.2f}, {cap}"


def _file_inputs(endpoint: EndpointConfig, sampling: Sampling) -> dict[str, Any]:
    return {"sampling": sampling, **endpoint.identity()}


def _requests(request: GenerationRequest) -> list[tuple[str, str, Request]]:
    """(problem, its text, request) of each sample, in the table's order. A request's prompt is its messages;
    it names no problem, so that the same question of another pool is the same request."""
    problems = pl.read_parquet(request.problems.path / "problems.parquet", columns=["id", "text"])
    system = [{"role": "system", "content": request.system_prompt}] if request.system_prompt else []
    return [
        (problem, text, Request("", sample, prompt, [], request.sampling))
        for problem, text in problems.iter_rows()
        for prompt in [json.dumps([*system, {"role": "user", "content": text}], ensure_ascii=False)]
        for sample in range(request.samples)
    ]


def _has(cache: CompletionCache[Answer], request: Request) -> bool:
    return request in cache and cache[request].finish != "asked"


def _most_tokens_in(request: Request) -> int:
    return len(request.prompt.encode()) + TEMPLATE_TOKENS


def _spent(endpoint: EndpointConfig, cache: CompletionCache[Answer]) -> float:
    return sum(endpoint.cost(one.billed_in, one.billed_out) for one in cache)


def _run(drawing: _Drawing, missing: Sequence[Request]) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(drawing.draw(missing))
        return
    with ThreadPoolExecutor(1) as thread:  # a notebook has a loop of its own
        thread.submit(asyncio.run, drawing.draw(missing)).result()


class _Drawing:
    """One pass over what a cache lacks. The first error ends it, once what is under way has come."""

    def __init__(self, endpoint: EndpointConfig, key: str | None, cache: CompletionCache[Answer]) -> None:
        self._endpoint, self._key, self._cache = endpoint, key, cache
        self._spent, self._reserved, self._under_way = _spent(endpoint, cache), 0.0, 0
        self._done, self._total, self._tokens, self._started = 0, 0, 0, time.perf_counter()
        self._error: Exception | None = None

    async def draw(self, missing: Sequence[Request]) -> None:
        import httpx2

        waiting, self._total = deque(missing), len(missing)
        workers = min(self._endpoint.concurrency, len(waiting))
        async with httpx2.AsyncClient(
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=workers, max_keepalive_connections=workers),
            trust_env=not self._endpoint.in_the_clear,  # a proxy would read the key
        ) as http:
            client = Client(self._endpoint, self._key, http)
            alive = asyncio.create_task(_stay_alive())
            try:
                await asyncio.gather(*(self._work(client, waiting) for _ in range(workers)))
            finally:
                alive.cancel()
        if self._error:
            raise self._error

    async def _work(self, client: Client, waiting: deque[Request]) -> None:
        """Asks for one sample after the other. A worker that the budget has no room for leaves the rest to
        the others; the last one to do so ends the pass."""
        while waiting and self._error is None:
            request = waiting[0]
            most = _most_tokens_in(request), self._endpoint.most_tokens(request.sampling.max_tokens)
            cost = self._endpoint.cost(*most)
            if self._spent + self._reserved + cost > (self._endpoint.budget or math.inf):
                if not self._under_way:
                    self._error = self._over_budget(cost)
                return
            waiting.popleft()
            self._reserved, self._under_way = self._reserved + cost, self._under_way + 1
            self._count_earlier(request)
            try:
                answer = await client.ask(
                    self._body(request), most[1], partial(self._ask, request, most),
                    partial(self._lose, request, most),
                )  # fmt: skip
            except Exception as error:
                self._ask(request, (0, 0))
                self._error, client.closing = self._error or error, True
                return
            finally:
                self._reserved, self._under_way = self._reserved - cost, self._under_way - 1
            self._keep(request, answer, most)

    def _body(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling
        seed = hashlib.sha256(f"{sampling.seed}/{request.sample}/{request.prompt}".encode()).digest()
        body = {
            "model": self._endpoint.model,
            "messages": json.loads(request.prompt),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": int.from_bytes(seed[:4]) >> 1,
            **self._endpoint.body,
        }
        return {key: value for key, value in body.items() if value is not None}

    def _keep(self, request: Request, answer: Answer, most: tuple[int, int]) -> None:
        billed = most[0] if answer.tokens_in is None else answer.tokens_in
        billed_out = most[1] if answer.tokens is None else answer.tokens
        self._cache.add(request, replace(answer, billed_in=billed, billed_out=billed_out))
        self._spent += self._endpoint.cost(billed, billed_out)
        self._done, self._tokens = self._done + 1, self._tokens + (answer.tokens or 0)
        speed = self._tokens / (time.perf_counter() - self._started)
        report_progress("completions", self._done, self._total, speed)

    def _ask(self, request: Request, most: tuple[int, int]) -> None:
        """Records what a request that is about to be sent may cost; its answer takes the place of that."""
        self._cache.add(request, Answer(completion="", finish="asked", billed_in=most[0], billed_out=most[1]))

    def _count_earlier(self, request: Request) -> None:
        """Keeps the cost of a request that a killed process has sent, whose answer it never had."""
        if request in self._cache and (earlier := self._cache[request]).billed_out:
            self._add_lost(request, (earlier.billed_in, earlier.billed_out))
            self._ask(request, (0, 0))

    def _lose(self, request: Request, most: tuple[int, int]) -> None:
        """Records what may have been paid for in vain. Raises UserError where the budget has no more."""
        self._add_lost(request, most)
        self._spent += self._endpoint.cost(*most)
        if self._spent + self._reserved > (self._endpoint.budget or math.inf):
            raise self._over_budget(self._endpoint.cost(*most))

    def _add_lost(self, request: Request, most: tuple[int, int]) -> None:
        tries = (replace(request, sample=-number) for number in itertools.count(1))
        self._cache.add(
            next(one for one in tries if one not in self._cache),
            Answer(completion="", finish="lost", billed_in=most[0], billed_out=most[1]),
        )

    def _over_budget(self, cost: float) -> UserError:
        budget = self._endpoint.budget
        return UserError(
            f"data.teacher.endpoint.budget={budget:g}: {self._spent:.4g} is spent, and a sample may cost "
            f"{cost:.4g}; all samples are kept ({self._done:,} of {self._total:,} came now): with a higher "
            "budget it goes on"
        )


async def _stay_alive() -> None:
    """An answer may take longer than a trial may be silent."""
    while True:
        keep_alive()
        await asyncio.sleep(1)


def _table(
    name: str, wanted: Sequence[tuple[str, str, Request]], cache: CompletionCache[Answer]
) -> pl.DataFrame:
    rows = []
    for problem, text, request in wanted:
        one = cache[request]
        own = (name, problem, request.sample, text, one.completion, one.tokens, one.finish)
        rows.append((*own, ends_in_a_loop(one.completion), *(getattr(one, column) for column in TOLD)))
    return pl.DataFrame(rows, schema=SCHEMA | TOLD, orient="row")
