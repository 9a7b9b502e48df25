"""Batched decoding of a transformers model: every sequence at its own position, finished ones replaced.

Nothing is padded on the left: a slot's cache begins with its prompt, and a mask hides what lies behind
its last token. A prompt's last token is the first that is decoded, so prompts need no logits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from limo_ablate.generate.cache import SlotCache
from limo_ablate.generate.engine import Completed, Request, Sampling
from limo_ablate.generate.qwen2 import Qwen2Step
from limo_ablate.generate.sampling import draw, greedy, uniforms

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Forward = Callable[[Tensor, SlotCache], Tensor]
"""The tokens (slots,) that are passed forward, and where they go; gives logits (slots, vocabulary)."""

REFILL = 1 / 8
"""Share of slots that must be free before prompts are taken in: a prefill costs more than a free slot."""
SHRINK = 1 / 16
"""Share of slots that must be free, with nothing waiting, before the cache is copied without them."""


class TransformersEngine:
    """The engine of `eval.engine=transformers`: one process, one device."""

    def __init__(self, model: PreTrainedModel, stops: set[int], batch_size: int) -> None:
        self.model = model
        self.stops = stops
        self.batch_size = batch_size

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completed]:
        context = self.model.config.max_position_embeddings
        fitting = [request for request in requests if len(request.ids) < context]
        yield from (Completed(request, [], "length") for request in requests if len(request.ids) >= context)
        waiting = deque(sorted(fitting, key=lambda request: len(request.ids)))
        batch = Batch(self.model, self.stops, min(self.batch_size, len(fitting)), sampling)
        while waiting or batch.busy:
            if waiting and batch.free >= max(1, REFILL * batch.slots):
                batch.admit([waiting.popleft() for _ in range(min(batch.free, len(waiting)))])
            elif not waiting and batch.free > SHRINK * batch.slots:
                batch.shrink()
            yield from batch.step()


class ModelStep:
    """The next token's logits by the model's own forward pass, for any architecture."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model

    def __call__(self, token: Tensor, cache: SlotCache) -> Tensor:
        logits: Tensor = self.model(
            input_ids=token[:, None],
            position_ids=cache.position[:, None],
            attention_mask=cache.seen()[:, None, None],
            past_key_values=cache,
            use_cache=True,
        ).logits
        return logits[:, -1]


class Batch:
    """The sequences in flight: tensors hold one entry a slot."""

    def __init__(self, model: PreTrainedModel, stops: set[int], slots: int, sampling: Sampling) -> None:
        self.model, self.sampling, self.slots = model, sampling, slots
        self.forward: Forward = Qwen2Step(model) if Qwen2Step.fits(model) else ModelStep(model)
        device = model.device
        self.cache = SlotCache(slots, device)
        self.requests: list[Request | None] = [None] * slots
        self.stops = torch.tensor(sorted(stops), device=device)
        self.alive = torch.zeros(slots, dtype=torch.bool, device=device)
        self.token = torch.zeros(slots, dtype=torch.long, device=device)
        """The next to be passed forward."""
        self.position = torch.zeros(slots, dtype=torch.long, device=device)
        """Where it stands in its sequence."""
        self.count = torch.zeros(slots, dtype=torch.long, device=device)
        """New tokens so far."""
        self.limit = torch.zeros(slots, dtype=torch.long, device=device)
        """New tokens it may have: as many as were asked for, or as the model's context leaves."""
        self.output = torch.zeros(slots, sampling.max_tokens, dtype=torch.long, device=device)
        self.uniform = torch.zeros(slots, sampling.max_tokens if sampling.temperature else 0, device=device)
        self.span = 0
        """Tokens of the longest sequence, the next one included."""

    @property
    def free(self) -> int:
        return self.requests.count(None)

    @property
    def busy(self) -> bool:
        return self.free < self.slots

    @torch.inference_mode()
    def admit(self, requests: list[Request]) -> None:
        """Prefills the prompts and puts them into free slots."""
        empty = [slot for slot, request in enumerate(self.requests) if request is None][: len(requests)]
        device = self.model.device
        longest = max(2, *(len(request.ids) for request in requests))
        ids = torch.zeros(len(requests), longest - 1, dtype=torch.long)
        for row, request in enumerate(requests):
            known = torch.tensor(request.ids[:-1], dtype=torch.long)
            ids[row, : len(known)] = known
            self.requests[empty[row]] = request
            if self.sampling.temperature:
                own = uniforms(self.sampling.seed, request.problem, request.sample, self.sampling.max_tokens)
                self.uniform[empty[row]] = torch.from_numpy(own).to(device)
        prompts = DynamicCache()
        self.model(input_ids=ids.to(device), past_key_values=prompts, use_cache=True, logits_to_keep=1)
        slots = torch.tensor(empty, device=device)
        self.cache.fill(slots, prompts)
        self.token[slots] = torch.tensor([request.ids[-1] for request in requests], device=device)
        self.position[slots] = torch.tensor([len(request.ids) - 1 for request in requests], device=device)
        room = [self.model.config.max_position_embeddings - len(request.ids) for request in requests]
        self.limit[slots] = torch.tensor(room, device=device).clamp(max=self.sampling.max_tokens)
        self.count[slots] = 0
        self.alive[slots] = True
        self.span = max(self.span, longest)

    def shrink(self) -> None:
        """Gives up the free slots."""
        kept = [slot for slot, request in enumerate(self.requests) if request is not None]
        slots = torch.tensor(kept, device=self.model.device)
        self.cache.keep(slots)
        for name in ("alive", "token", "position", "count", "limit", "output", "uniform"):
            setattr(self, name, getattr(self, name)[slots])
        self.requests = [self.requests[slot] for slot in kept]
        self.slots = len(kept)

    @torch.inference_mode()
    def step(self) -> list[Completed]:
        """One token more for every sequence; returns those that ended with it."""
        self.cache.place(self.position, self.span)
        token = self._next(self.forward(self.token, self.cache))
        self.output.scatter_(1, self.count[:, None], token[:, None])
        self.count += self.alive
        self.position += self.alive
        stopped = torch.isin(token, self.stops)
        ended = self.alive & (stopped | (self.count == self.limit))
        self.token = token
        any_ended, longest = torch.stack([ended.any().long(), self.position.max()]).tolist()
        self.span = longest + 1
        return self._take(ended, stopped) if any_ended else []

    def _next(self, logits: Tensor) -> Tensor:
        if not self.sampling.temperature:
            return greedy(logits)
        uniform = self.uniform.gather(1, self.count[:, None]).squeeze(1)
        return draw(logits, self.sampling.temperature, self.sampling.top_p, uniform)

    def _take(self, ended: Tensor, stopped: Tensor) -> list[Completed]:
        """The sequences that ended; their slots are free, and stay at position 0."""
        done = []
        for slot in ended.nonzero().flatten().tolist():
            request = self.requests[slot]
            assert request is not None
            ids = self.output[slot, : int(self.count[slot])].tolist()
            done.append(Completed(request, ids, "stop" if stopped[slot] else "length"))
            self.requests[slot] = None
        self.alive &= ~ended
        self.position[ended] = 0
        self.count[ended] = 0
        self.span = int(self.position.max()) + 1
        return done
