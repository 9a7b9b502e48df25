"""Batched decoding of a transformers model: each sequence at its own position, finished ones replaced."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from limo_ablate.core.progress import keep_alive
from limo_ablate.model.generate.batch import Batch
from limo_ablate.model.generate.cache import SlotCache
from limo_ablate.model.generate.engine import (
    Completed,
    Request,
    longest_first,
    max_new_tokens,
    overlong_prompts,
)
from limo_ablate.model.generate.qwen2 import Qwen2Step
from limo_ablate.model.train.model_config import context_length

if TYPE_CHECKING:
    from transformers import PreTrainedModel

REFILL = 1 / 8
"""Share of slots that must be free before new prompts are admitted: a prefill costs more than a free slot."""
SHRINK = 1 / 32
"""Share of slots that must be free, with no request waiting, before the batch is shrunk."""


class TransformersEngine:
    """The engine of `engine=transformers`: one process, one device."""

    def __init__(self, model: PreTrainedModel, stops: set[int], batch_size: int) -> None:
        self.model = model
        self.stops = stops
        self.batch_size = batch_size

    def generate(self, requests: Sequence[Request]) -> Iterator[Completed]:
        context = context_length(self.model.config)
        yield from overlong_prompts(requests, context)
        waiting = deque(
            request for request in longest_first(requests) if max_new_tokens(request, context) > 0
        )
        forward = Qwen2Step(self.model) if Qwen2Step.fits(self.model) else ModelStep(self.model)
        batch = Batch(self.model, forward, self.stops, min(self.batch_size, len(waiting)), waiting)
        while waiting or batch.free < batch.slots:
            if waiting and batch.free >= max(1, REFILL * batch.slots):
                batch.admit([waiting.popleft() for _ in range(min(batch.free, len(waiting)))])
            elif not waiting and batch.free > SHRINK * batch.slots:
                batch.shrink()
            yield from batch.step()
            keep_alive()


class ModelStep:
    """Logits of the next token from the model's own forward pass, for any architecture."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model

    def __call__(self, token: Tensor, position: Tensor, cache: SlotCache) -> Tensor:
        """Tokens (slots,) and their positions (slots,) to logits (slots, vocabulary)."""
        logits: Tensor = self.model(
            input_ids=token[:, None],
            position_ids=position[:, None],
            attention_mask=cache.in_sequence()[:, None, None],
            past_key_values=cache,
            use_cache=True,
        ).logits
        return logits[:, -1]
