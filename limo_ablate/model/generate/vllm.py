"""The engine `engine=vllm`: vLLM behind the interface of `engine.py`. Run with vLLM 0.32 on a CPU.

vLLM seeds each request by itself. On a GPU its logits depend slightly on the batch, so a run need not
reproduce another one's samples exactly.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from limo_ablate.core.errors import TrialFailure
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.progress import keep_alive
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.model.generate.engine import (
    Completed,
    Request,
    longest_first,
    max_new_tokens,
    overlong_prompts,
)
from limo_ablate.model.train.load import load_model, load_tokenizer
from limo_ablate.model.train.memory_check import free_main_memory

BLOCK = 128
"""Tokens of a block of vLLM's cache on a CPU: a sequence takes whole blocks."""


class VllmEngine:
    """The engine of `engine=vllm`: one copy of the model on `settings.tensor_parallel` GPUs, or on a CPU."""

    def __init__(self, path: str, stops: set[int], settings: EngineConfig, hardware: HardwareConfig) -> None:
        os.environ["VLLM_NO_USAGE_STATS"] = "1"  # it would report to its makers
        if hardware.device == "cpu":
            os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"  # by default, all copies share the first cores
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # it has a process of its own already
        import vllm

        from limo_ablate.model.train.model_config import code_allowed, meta_model

        config = meta_model(path).config  # vLLM reads config.json as it is
        text, cache = config.get_text_config(), None
        if hardware.device == "cpu":
            cache = _cpu_cache_bytes(text, settings, hardware)
        self.stops, self.vllm = stops, vllm
        self.model: Any = vllm.LLM(
            model=path,
            trust_remote_code=code_allowed(path),
            skip_tokenizer_init=True,  # input and output are ids
            generation_config="vllm",  # not the model's own sampling settings
            dtype="bfloat16" if hardware.precision == "bf16" else "float32",
            tensor_parallel_size=settings.tensor_parallel,
            max_num_seqs=settings.batch_size,
            # The other engines' context; vLLM's own is longer where config.json scales the angles.
            max_model_len=getattr(text, "max_position_embeddings", None),
            kv_cache_memory_bytes=cache,
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Completed]:
        """Raises TrialFailure if vLLM ends a request by anything but a stop token or its length."""
        context = self.model.model_config.max_model_len
        yield from overlong_prompts(requests, context)
        fitting = [request for request in longest_first(requests) if max_new_tokens(request, context) > 0]
        engine = self.model.llm_engine
        for number, request in enumerate(fitting):
            prompt = {"prompt_token_ids": request.ids}
            engine.add_request(str(number), prompt, self._params(request, max_new_tokens(request, context)))
        while engine.has_unfinished_requests():
            keep_alive()
            for output in engine.step():
                if output.finished:
                    yield _completed(fitting[int(output.request_id)], output.outputs[0])

    def _params(self, request: Request, max_tokens: int) -> Any:
        sampling = request.sampling
        return self.vllm.SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=max_tokens,
            seed=seed_of(request) if sampling.temperature else None,
            stop_token_ids=sorted(self.stops),
            detokenize=False,
            output_kind=self.vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
        )


def _cpu_cache_bytes(config: Any, settings: EngineConfig, hardware: HardwareConfig) -> int:
    """Memory for keys and values: enough for a full batch, and no more than the copies' part of half of what
    is free. vLLM's own default is nearly all of the machine's."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    size = 2 if hardware.precision == "bf16" else 4
    token = 2 * config.num_hidden_layers * heads * width * size
    full: int = settings.batch_size * (config.max_position_embeddings + BLOCK) * token
    return min(full, free_main_memory() // (2 * hardware.processes))


def save_merged(path: str, folder: Path, hardware: HardwareConfig) -> Path:
    """Saves the model with the adapter in `path` merged: vLLM's own LoRA lacks biases and embeddings."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16" if hardware.precision == "bf16" else "float32"
    load_model(path, dtype=dtype, attention="sdpa", device="cpu").save_pretrained(folder)
    load_tokenizer(path).save_pretrained(folder)
    return folder


def seed_of(request: Request) -> int:
    """Seed of the completion, below 2^63."""
    name = f"{request.sampling.seed}/{request.sample}/{request.problem}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:8]) >> 1


def _completed(request: Request, output: Any) -> Completed:
    if output.finish_reason not in ("stop", "length"):
        raise TrialFailure(
            f"engine=vllm: problem {request.problem}, sample {request.sample} ended by {output.finish_reason}"
        )
    return Completed(request, list(output.token_ids), output.finish_reason)
