"""Configuration of a base model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from limo_ablate.core.artifacts import NOT_IN_KEY
from limo_ablate.core.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureConfig:
    """A Qwen2 built from scratch."""

    width: int
    layers: int
    heads: int
    head_dim: int
    context: int
    vocab_size: int | None = None
    """Vocabulary size of the tokenizer trained on the pool (`scratch`); the miniature has a fixed one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig:
    """Pre-training of a miniature base model on its generated corpus."""

    tokens: int
    batch_tokens: int
    learning_rate: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeConfig:
    """A decoder's shape, as in its config.json: what a forecast needs before a hub model is downloaded."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    tied: bool
    """Whether the LM head is the embedding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The base model."""

    name: str
    source: Literal["hub", "miniature", "scratch"]
    path: str | None = None
    """Hub id or local folder in the hub's format."""
    revision: str | None = None
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    trust_remote_code: bool = field(default=False, metadata={"in_key": "unless default"})
    """Whether code that comes with a hub model runs: only where transformers has no class for it."""
    architecture: ArchitectureConfig | None = None
    pretrain: PretrainConfig | None = None
    shape: ShapeConfig | None = field(default=None, metadata=NOT_IN_KEY)
    """Shape of a hub model, for `limo-ablate plan`; checked against its config.json after the download."""

    def __post_init__(self) -> None:
        if self.path is not None and self.source != "hub":
            raise UserError(
                f"model.path={self.path}: model={self.name} is built here and has no path; for a folder set "
                "model=local model.path=FOLDER"
            )
        if self.trust_remote_code and self.source != "hub":
            raise UserError(
                f"model.trust_remote_code=true: model={self.name} is built here and comes without code"
            )
