"""Configuration of generation: the engine, and how completions are sampled."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

from limo_ablate.core.artifacts import NOT_IN_KEY
from limo_ablate.core.errors import UserError
from limo_ablate.core.registry import Entry, Registry

KINDS = "limo_ablate.model.generate.engines"
ENGINES: Registry[Any] = Registry(
    "engine",
    {
        "transformers": Entry(f"{KINDS}:TRANSFORMERS", "transformers' models, a batch in step; the default"),
        "paged": Entry(
            f"{KINDS}:PAGED",
            "transformers' continuous batching over a paged cache, for GPUs",
            words="transformers' continuous batching",
        ),
        "vllm": Entry(f"{KINDS}:VLLM", "vLLM (`vllm` extra), for long answers", words="vLLM"),
    },
    group="limo_ablate.engines",
)
"""What generates completions; each is a `limo_ablate.model.generate.engine.EngineKind`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """The engine that generates completions. Only `engine` changes them; the other keys set the speed."""

    engine: Annotated[str, ENGINES]
    """What generates."""
    batch_size: int
    """Completions that each copy of the model decodes at the same time."""
    tensor_parallel: int = 1
    """GPUs per copy of the model; `hardware.processes` / `tensor_parallel` copies generate in parallel."""
    python: str | None = field(default=None, metadata=NOT_IN_KEY)
    """Python of another environment, in which the engine runs; the versions that it has there are in the
    completions' key. null: this one."""
    batch_size_key = "eval.batch_size"  # no field: the class decides under which key the user finds it

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

    def with_batch_size(self, batch_size: int) -> EngineConfig:
        """The engine's settings alone, with another batch size."""
        return EngineConfig(
            engine=self.engine,
            batch_size=batch_size,
            tensor_parallel=self.tensor_parallel,
            python=self.python,
        )


class SamplingSettings(Protocol):
    """How completions of a problem are sampled, for a benchmark or for a stage of reference models."""

    @property
    def samples(self) -> int: ...
    @property
    def temperature(self) -> float: ...
    @property
    def top_p(self) -> float: ...
    @property
    def max_tokens(self) -> int: ...


def check_sampling(where: str, settings: SamplingSettings) -> None:
    """Raises UserError that names the key under `where` and what it allows."""
    for key, fits, allowed in (
        ("samples", settings.samples >= 1, "1 or more"),
        ("temperature", 0 <= settings.temperature < math.inf, "0 (greedy) or more"),
        ("top_p", 0 < settings.top_p <= 1, "above 0 and at most 1"),
        ("max_tokens", settings.max_tokens >= 1, "1 or more"),
    ):
        if not fits:
            raise UserError(f"{where}.{key}={getattr(settings, key)}: must be {allowed}")
    if settings.temperature == 0 and settings.samples > 1:
        raise UserError(
            f"{where}.samples={settings.samples} at temperature=0: greedy samples are all equal; "
            "set samples=1 or a temperature above 0"
        )
