"""vLLM's interface as far as the engine uses it (0.33: entrypoints/llm.py, sampling_params.py, outputs.py),
over a transformers model decoded token by token. Unknown arguments are errors, as they are there."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM


class RequestOutputKind(Enum):
    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


sampling_params = SimpleNamespace(RequestOutputKind=RequestOutputKind)


@dataclass
class SamplingParams:
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop_token_ids: list[int] | None = None
    max_tokens: int | None = 16
    detokenize: bool = True
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE

    def __post_init__(self) -> None:
        assert self.temperature >= 0
        assert 0 < self.top_p <= 1
        assert self.max_tokens is None or self.max_tokens >= 1
        assert self.temperature == 0 or self.top_p == 1, "the nucleus is not imitated"


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: list[int]
    finish_reason: str | None = None
    stop_reason: int | str | None = None


@dataclass
class RequestOutput:
    request_id: str
    outputs: list[CompletionOutput]
    finished: bool


@dataclass
class Running:
    name: str
    prompt: list[int]
    params: SamplingParams
    generator: torch.Generator
    ids: list[int] = field(default_factory=list)


class LLMEngine:
    """Requests run `slots` at a time; a step gives each one token and reports what FINAL_ONLY reports."""

    def __init__(self, model: Any, slots: int) -> None:
        self.model, self.slots = model, slots
        self.waiting: list[Running] = []
        self.running: list[Running] = []

    def add_request(self, request_id: str, prompt: dict[str, list[int]], params: SamplingParams) -> str:
        assert isinstance(request_id, str)
        assert len(prompt["prompt_token_ids"]) < self.model.config.max_position_embeddings
        assert params.output_kind is RequestOutputKind.FINAL_ONLY
        generator = torch.Generator()
        if params.seed is not None:
            generator.manual_seed(params.seed)
        self.waiting.append(Running(request_id, prompt["prompt_token_ids"], params, generator))
        return f"{request_id}-internal"

    def has_unfinished_requests(self) -> bool:
        return bool(self.waiting or self.running)

    @torch.inference_mode()
    def step(self) -> list[RequestOutput]:
        while self.waiting and len(self.running) < self.slots:
            self.running.append(self.waiting.pop(0))
        ended = [(one, reason) for one in self.running if (reason := self._advance(one))]
        self.running = [one for one in self.running if one not in [done for done, _ in ended]]
        return [
            RequestOutput(one.name, [CompletionOutput(0, "", one.ids, reason)], finished=True)
            for one, reason in ended
        ]

    def _advance(self, one: Running) -> Literal["stop", "length"] | None:
        logits = self.model(torch.tensor([one.prompt + one.ids])).logits[0, -1]
        if one.params.temperature == 0:
            token = int(logits.argmax())
        else:
            chances = torch.softmax(logits / one.params.temperature, -1)
            token = int(torch.multinomial(chances, 1, generator=one.generator))
        one.ids.append(token)
        if token in (one.params.stop_token_ids or []):
            return "stop"
        return "length" if len(one.ids) == one.params.max_tokens else None


class LLM:
    def __init__(
        self,
        model: str,
        *,
        trust_remote_code: bool = False,
        skip_tokenizer_init: bool = False,
        tensor_parallel_size: int = 1,
        dtype: str = "auto",
        generation_config: str = "auto",
        max_num_seqs: int | None = None,
        max_model_len: int | None = None,
        kv_cache_memory_bytes: int | None = None,
    ) -> None:
        assert not trust_remote_code
        network = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype)).eval()
        assert (skip_tokenizer_init, tensor_parallel_size, generation_config) == (True, 1, "vllm")
        self.model_config = SimpleNamespace(max_model_len=max_model_len)
        self.llm_engine = LLMEngine(network, max_num_seqs or 256)
