"""The engine `engine=paged`: transformers' own continuous batching over a paged cache.

It is meant for GPUs, where it uses FlashAttention and CUDA graphs if available; on a CPU it works but is
slow. transformers samples with one random state for the whole batch; here each sequence has random numbers
of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    ContinuousBatchingConfig,
    GenerationConfig,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingLogitsProcessorList,
    ContinuousBatchingTemperatureLogitsWarper,
    ContinuousBatchingTopPLogitsWarper,
)

from limo_ablate.core.errors import TrialFailure
from limo_ablate.model.generate.engine import (
    Completed,
    Request,
    longest_first,
    max_new_tokens,
    overlong_prompts,
)
from limo_ablate.model.generate.sampling import draw, greedy, uniforms
from limo_ablate.model.train.failure import OutOfMemory, names_out_of_memory
from limo_ablate.model.train.model_config import context_length

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logging.getLogger("ContinuousBatchingLogger").setLevel(logging.WARNING)
POLL_SECONDS = 1.0
PAGE = 256
"""Tokens per page of the cache."""
GREEDY = -1.0
"""Marks a greedy sequence in place of a random number."""


class PagedEngine:
    """The engine of `engine=paged`: one process, one device."""

    def __init__(self, model: PreTrainedModel, stops: set[int], batch_size: int) -> None:
        self.model, self.stops, self.batch_size = model, stops, batch_size

    def generate(self, requests: Sequence[Request]) -> Iterator[Completed]:
        """Raises TrialFailure if transformers gives up on a request, OutOfMemory if for lack of memory."""
        context = context_length(self.model.config)
        yield from overlong_prompts(requests, context)
        fitting = [request for request in longest_first(requests) if max_new_tokens(request, context) > 0]
        if not fitting:
            return
        longest = max(len(request.ids) + max_new_tokens(request, context) for request in fitting)
        manager: Any = self.model.init_continuous_batching(
            generation_config=GenerationConfig(do_sample=False, eos_token_id=sorted(self.stops)),
            continuous_batching_config=self._settings(longest),
        )
        manager.logit_processor = _processors()
        manager.warmup()
        manager.start()
        try:
            coming, wanted = enumerate(fitting), 2 * self.batch_size
            for _ in fitting:  # few wait, as each holds the random numbers of all its tokens
                for number, request in islice(coming, wanted):
                    _add(manager, str(number), request, max_new_tokens(request, context), sorted(self.stops))
                result, wanted = _next_result(manager), 1
                ids = list(result.generated_tokens)
                stopped = ids[-1] in self.stops
                yield Completed(fitting[int(result.request_id)], ids, "stop" if stopped else "length")
        finally:
            manager.stop(hard_stop=True)
            manager.destroy()

    def _settings(self, longest: int) -> ContinuousBatchingConfig:
        on_cpu = self.model.device.type == "cpu"
        return ContinuousBatchingConfig(
            page_size=PAGE,
            # on a CPU transformers would use most of the machine's memory for its pages
            num_blocks=self.batch_size * (longest // PAGE + 2) if on_cpu else None,
            max_batch_tokens=max(longest, 2 * PAGE) if on_cpu else None,
            max_requests_per_batch=self.batch_size,
            use_async_batching=False,  # a sequence's random number is chosen by its number of tokens
        )


class Draw(ContinuousBatchingLogitsProcessor):  # type: ignore[misc]
    """Masks all tokens but the one that the sequence's own random number selects."""

    supported_kwargs = {"uniforms": np.ndarray}  # noqa: RUF012
    ignored_kwargs = ()

    def fill_defaults(self, int32_tensor: Tensor) -> None:
        int32_tensor.view(torch.float32).fill_(GREEDY)

    def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> Tensor:
        numbers = [_uniform(request.state) for request in requests_with_new_token]
        return torch.tensor(numbers, dtype=torch.float32).view(torch.int32)

    def __call__(self, scores: Tensor, tensor_arg: Tensor) -> Tensor:
        """Scores (n, vocabulary) have temperature and nucleus applied; `tensor_arg` has n or more numbers."""
        uniform = tensor_arg[: len(scores)].view(torch.float32)
        one = torch.ones_like(uniform)
        drawn = torch.where(uniform < 0, greedy(scores), draw(scores, one, one, uniform.clamp(min=0)))
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn[:, None], 0.0)


def _processors() -> ContinuousBatchingLogitsProcessorList:
    own = [
        ContinuousBatchingTemperatureLogitsWarper(TemperatureLogitsWarper(1.0)),
        ContinuousBatchingTopPLogitsWarper(TopPLogitsWarper(1.0)),
        Draw(),
    ]
    processors = ContinuousBatchingLogitsProcessorList(LogitsProcessorList(own))
    processors.tensors_required = len(own)
    return processors


def _add(manager: Any, name: str, request: Request, max_tokens: int, stops: list[int]) -> None:
    sampling = request.sampling
    sampled = sampling.temperature > 0
    numbers = uniforms(sampling.seed, request.problem, request.sample, max_tokens if sampled else 0)
    manager.add_request(
        request.ids,
        request_id=name,
        max_new_tokens=max_tokens,
        eos_token_id=stops,
        temperature=sampling.temperature if sampled else 1.0,
        top_p=sampling.top_p if sampled else 1.0,
        uniforms=numbers,
    )


def _uniform(state: Any) -> float:
    """Random number of a sequence's next token.

    When memory runs out, transformers requeues a sequence with its new tokens as part of the prompt.
    """
    numbers = state.logit_processor_kwargs.get("uniforms", ())
    before = len(state.initial_tokens) - state._true_initial_tokens if state._true_initial_tokens else 0
    count = before + len(state.generated_tokens)
    return float(numbers[count]) if count < len(numbers) else GREEDY


def _next_result(manager: Any) -> Any:
    while True:
        result = manager.get_result(timeout=POLL_SECONDS)
        if result is not None and result.error is None:
            return result
        if result is not None or not manager.is_running():
            cause = result.error if result else manager.background_thread_status.fatal_error
            kind = OutOfMemory if names_out_of_memory(str(cause)) else TrialFailure
            raise kind(f"engine=paged: transformers' continuous batching failed: {cause}")
