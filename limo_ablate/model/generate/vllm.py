"""The engine of `engine=vllm`: vLLM behind the same interface. Written against vLLM 0.33's source.

vLLM seeds each request by itself; on a GPU its logits still depend a little on the batch, so that a run
need not repeat another's draws bit by bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from limo_ablate.core.errors import TrialFailure
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.progress import keep_alive
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.model.generate.engine import Completed, Request, longest_first, room, without_room
from limo_ablate.model.train.load import load_model, load_tokenizer


class VllmEngine:
    """One copy of the model on `settings.tensor_parallel` GPUs."""

    def __init__(self, path: str, stops: set[int], settings: EngineConfig, hardware: HardwareConfig) -> None:
        import vllm

        self.stops, self.vllm = stops, vllm
        self.model: Any = vllm.LLM(
            model=path,
            skip_tokenizer_init=True,  # it is given ids and gives ids
            generation_config="vllm",  # the model's own sampling settings are not the protocol's
            dtype="bfloat16" if hardware.precision == "bf16" else "float32",
            tensor_parallel_size=settings.tensor_parallel,
            max_num_seqs=settings.batch_size,
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Completed]:
        """Raises TrialFailure when vLLM ends a request otherwise than by a stop token or its length."""
        context = self.model.model_config.max_model_len
        yield from without_room(requests, context)
        fitting = [request for request in longest_first(requests) if room(request, context) > 0]
        engine = self.model.llm_engine
        for number, request in enumerate(fitting):
            prompt = {"prompt_token_ids": request.ids}
            engine.add_request(str(number), prompt, self._params(request, room(request, context)))
        while engine.has_unfinished_requests():
            keep_alive()
            for output in engine.step():
                if output.finished:
                    yield _completed(fitting[int(output.request_id)], output.outputs[0])

    def _params(self, request: Request, max_tokens: int) -> Any:
        how = request.sampling
        return self.vllm.SamplingParams(
            temperature=how.temperature,
            top_p=how.top_p,
            max_tokens=max_tokens,
            seed=seed_of(request) if how.temperature else None,
            stop_token_ids=sorted(self.stops),
            detokenize=False,
            output_kind=self.vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
        )


def save_merged(path: str, folder: Path, hardware: HardwareConfig) -> Path:
    """The model of the adapter in `path` as whole weights: vLLM's own LoRA has no biases or embeddings."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16" if hardware.precision == "bf16" else "float32"
    load_model(path, dtype=dtype, attention="sdpa", device="cpu").save_pretrained(folder)
    load_tokenizer(path).save_pretrained(folder)
    return folder


def seed_of(request: Request) -> int:
    """A number below 2^63 of the completion's own."""
    name = f"{request.sampling.seed}/{request.sample}/{request.problem}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:8]) >> 1


def _completed(request: Request, output: Any) -> Completed:
    if output.finish_reason not in ("stop", "length"):
        raise TrialFailure(
            f"engine=vllm: problem {request.problem}, sample {request.sample} ended by {output.finish_reason}"
        )
    return Completed(request, list(output.token_ids), output.finish_reason)
