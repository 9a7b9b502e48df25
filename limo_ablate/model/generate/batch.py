"""Sequences that are decoded at the same time.

Samples of one prompt share its prefill. The first token that is decoded is a prompt's last one, so the
prefill needs no logits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from limo_ablate.model.generate.cache import SlotCache
from limo_ablate.model.generate.engine import Completed, Request, max_new_tokens
from limo_ablate.model.generate.sampling import draw, greedy, uniforms
from limo_ablate.model.train.model_config import context_length

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Forward = Callable[[Tensor, Tensor, SlotCache], Tensor]
"""Tokens (slots,), their positions (slots,) and the cache for their keys; to logits (slots, vocabulary)."""
ENTRIES = (
    "alive", "token", "position", "count", "limit", "temperature", "top_p", "output", "uniform",
)  # fmt: skip
"""Names of the tensors that have an entry for each slot."""
PASS = {"cpu": 3e7, "cuda": 3e11}
"""Parameters for which a layer of a forward pass costs as much by itself as a token does: of the order of
1.5 ms at 40 GFLOP/s of a core, and at 400 TFLOP/s of a GPU."""


def of_like_length(prompts: Sequence[list[int]], pass_tokens: float) -> Iterator[slice]:
    """Cuts sorted prompts, the longest first, where one pass for all would pad by more than a pass costs."""
    start, padding = 0, 0
    for place, prompt in enumerate(prompts):
        if place and prompt == prompts[place - 1]:
            continue  # samples of a prompt share its row
        padding += len(prompts[start]) - len(prompt)
        if padding > pass_tokens:
            yield slice(start, place)
            start, padding = place, 0
    yield slice(start, len(prompts))


class Batch:
    """Slots for sequences. A free slot is computed too, and its result ignored, until it is filled again."""

    def __init__(
        self,
        model: PreTrainedModel,
        forward: Forward,
        stops: set[int],
        slots: int,
        coming: Collection[Request],
    ) -> None:
        """`coming`: all requests that will be admitted."""
        self.model, self.forward, self.slots = model, forward, slots
        device = model.device
        self.cache = SlotCache(slots, device)
        self.requests: list[Request | None] = [None] * slots
        self.free = slots
        self.stops = torch.tensor(sorted(stops), device=device)
        self.alive = torch.zeros(slots, dtype=torch.bool, device=device)
        self.token = torch.zeros(slots, dtype=torch.long, device=device)
        """The next token to pass forward."""
        self.position = torch.zeros(slots, dtype=torch.long, device=device)
        """Position of that token in its sequence."""
        self.count = torch.zeros(slots, dtype=torch.long, device=device)
        """Number of new tokens so far."""
        self.limit = torch.zeros(slots, dtype=torch.long, device=device)
        """Largest number of new tokens: as requested, or as many as the context leaves."""
        self.temperature = torch.zeros(slots, device=device)
        self.top_p = torch.ones(slots, device=device)
        longest = max((request.sampling.max_tokens for request in coming), default=0)
        self.output = torch.zeros(slots, longest, dtype=torch.long, device=device)
        self.any_sampled = any(request.sampling.temperature for request in coming)
        """Whether any sequence is sampled."""
        layers = model.config.get_text_config().num_hidden_layers
        self.pass_tokens = PASS[device.type] * layers / model.num_parameters()
        """A forward pass costs by itself about as much as so many tokens in one."""
        self.uniform = torch.zeros(slots, longest if self.any_sampled else 0, device=device)

    @torch.inference_mode()
    def admit(self, requests: list[Request]) -> None:
        """Prefills each distinct prompt once, with those of like length; the requests get free slots."""
        requests = sorted(requests, key=lambda request: (-len(request.ids), request.ids))
        empty = [slot for slot, request in enumerate(self.requests) if request is None][: len(requests)]
        for part in of_like_length([request.ids for request in requests], self.pass_tokens):
            self._prefill(requests[part], empty[part])
        context = context_length(self.model.config)
        samplings = [request.sampling for request in requests]
        slots = torch.tensor(empty, device=self.alive.device)
        entries: dict[str, list[int] | list[float]] = {
            "token": [request.ids[-1] for request in requests],
            "position": [len(request.ids) - 1 for request in requests],
            "limit": [max_new_tokens(request, context) for request in requests],
            "temperature": [sampling.temperature for sampling in samplings],
            "top_p": [sampling.top_p for sampling in samplings],
        }
        for name, values in entries.items():
            tensor = getattr(self, name)
            tensor[slots] = torch.tensor(values, dtype=tensor.dtype, device=tensor.device)
        self.count[slots] = 0
        self.alive[slots] = True
        self.free -= len(requests)
        for slot, request, sampling in zip(empty, requests, samplings, strict=True):
            self.requests[slot] = request
            if sampling.temperature:
                own = uniforms(sampling.seed, request.problem, request.sample, sampling.max_tokens)
                self.uniform[slot, : sampling.max_tokens] = torch.from_numpy(own).to(self.uniform.device)

    @torch.inference_mode()
    def shrink(self) -> None:
        """Removes the free slots; the last sequences move into earlier ones."""
        left = self.slots - self.free
        holes = [slot for slot in range(left) if self.requests[slot] is None]
        beyond = [slot for slot in range(left, self.slots) if self.requests[slot] is not None]
        moves = list(zip(beyond, holes, strict=True))
        self.cache.keep(moves, left)
        for name in ENTRIES:
            tensor = getattr(self, name)
            for source, target in moves:
                tensor[target] = tensor[source]
            setattr(self, name, tensor[:left])
        for source, target in moves:
            self.requests[target] = self.requests[source]
        self.requests, self.slots, self.free = self.requests[:left], left, 0

    @torch.inference_mode()
    def step(self) -> list[Completed]:
        """Decodes one more token for every sequence; returns the completions that ended with it."""
        self.token = self._next_tokens(self.forward(self.token, self.position, self.cache))
        self.cache.advance()
        self.output.scatter_(1, self.count[:, None], self.token[:, None])
        self.count += self.alive
        self.position += self.alive
        stopped = (self.token[:, None] == self.stops).any(-1)
        ended = self.alive & (stopped | (self.count == self.limit))
        return self._pop_finished(ended, stopped) if ended.any() else []

    def _prefill(self, requests: list[Request], slots: list[int]) -> None:
        """Puts keys and values of all but the last token of each prompt into the cache."""
        row: dict[tuple[int, ...], int] = {}
        rows = [row.setdefault(tuple(request.ids), len(row)) for request in requests]
        ids = torch.zeros(len(row), max(2, *map(len, row)) - 1, dtype=torch.long)
        for number, prompt in enumerate(row):
            ids[number, : len(prompt) - 1] = torch.tensor(prompt[:-1])
        prompts = DynamicCache()
        self.model(
            input_ids=ids.to(self.model.device), past_key_values=prompts, use_cache=True, logits_to_keep=1
        )
        self.cache.fill(slots, prompts, rows, [len(request.ids) - 1 for request in requests])

    def _next_tokens(self, logits: Tensor) -> Tensor:
        if not self.any_sampled:
            return greedy(logits)
        uniform = self.uniform.gather(1, self.count[:, None]).squeeze(1)
        drawn = draw(logits, self.temperature, self.top_p, uniform)
        return torch.where(self.temperature > 0, drawn, greedy(logits))

    def _pop_finished(self, ended: Tensor, stopped: Tensor) -> list[Completed]:
        """The completions of the sequences that ended; frees their slots."""
        done = []
        for slot in ended.nonzero().flatten().tolist():
            request = self.requests[slot]
            assert request is not None
            ids = self.output[slot, : int(self.count[slot])].tolist()
            done.append(Completed(request, ids, "stop" if stopped[slot] else "length"))
            self.requests[slot] = None
            self.cache.free(slot)
        self.free += len(done)
        self.alive &= ~ended
        self.count[ended] = 0
        return done
