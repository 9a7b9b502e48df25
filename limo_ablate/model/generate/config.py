"""Configuration of generation: the engine, and how completions are sampled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Protocol

from limo_ablate.core.errors import UserError
from limo_ablate.core.registry import Entry, Registry

if TYPE_CHECKING:
    from limo_ablate.model.generate.engine import EngineKind

KINDS = "limo_ablate.model.generate.engines"
ENGINES: Registry[EngineKind] = Registry(
    "engine",
    {
        "transformers": Entry(f"{KINDS}:TRANSFORMERS", "transformers' models, a batch in step; the default"),
        "paged": Entry(
            f"{KINDS}:PAGED",
            "transformers' continuous batching over a paged cache, for GPUs",
            words="transformers' continuous batching",
        ),
        "vllm": Entry(f"{KINDS}:VLLM", "vLLM (`vllm` extra), for long answers on GPUs", words="vLLM"),
    },
    group="limo_ablate.engines",
)
"""What generates completions; each entry is an `EngineKind`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """What generates completions, and how fast; what is drawn depends on `engine` alone."""

    engine: Annotated[str, ENGINES]
    batch_size: int
    """Completions that each replica decodes side by side."""
    tensor_parallel: int = 1
    """GPUs that share a copy of the model; `hardware.processes` / this many copies generate side by side."""

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.tensor_parallel < 1:
            raise UserError(
                f"batch_size={self.batch_size} and tensor_parallel={self.tensor_parallel} must be at least 1"
            )
        if self.tensor_parallel > 1 and not ENGINES.load(self.engine).splits_model:
            raise UserError(
                f"tensor_parallel={self.tensor_parallel}: engine={self.engine} holds a whole model on each "
                "GPU; use engine=vllm or tensor_parallel=1"
            )


class Sampled(Protocol):
    """How completions of a problem are sampled: by a benchmark or a stage of reference models."""

    @property
    def samples(self) -> int: ...
    @property
    def temperature(self) -> float: ...
    @property
    def top_p(self) -> float: ...
    @property
    def max_tokens(self) -> int: ...


def check_sampling(where: str, how: Sampled) -> None:
    for key, fits, allowed in (
        ("samples", how.samples >= 1, "1 or more"),
        ("temperature", 0 <= how.temperature < math.inf, "0 (greedy) or more"),
        ("top_p", 0 < how.top_p <= 1, "above 0 and at most 1"),
        ("max_tokens", how.max_tokens >= 1, "1 or more"),
    ):
        if not fits:
            raise UserError(f"{where}.{key}={getattr(how, key)}: must be {allowed}")
    if how.temperature == 0 and how.samples > 1:
        raise UserError(
            f"{where}.samples={how.samples} at temperature=0: greedy samples are all the same; "
            "set samples=1 or a temperature above 0"
        )
