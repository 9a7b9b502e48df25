"""Configuration of a base model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Literal

from limo_ablate.core.artifacts import DEFAULT_NOT_IN_KEY, NOT_IN_KEY
from limo_ablate.core.errors import UserError

OWN_ARGUMENTS = frozenset((
    "add_generation_prompt", "chat_template", "continue_final_message", "conversation", "date",
    "documents", "enable_thinking", "max_length", "messages", "padding", "return_assistant_tokens_mask",
    "return_dict", "return_tensors", "sanitize_control_tokens", "strftime_now", "tokenize",
    "tokenizer_kwargs", "tools", "truncation",
))  # fmt: skip
"""Arguments of chat templates, and of transformers' function that fills them in, which are set here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureConfig:
    """A Qwen2 built from scratch."""

    width: int
    """Width of the residual stream."""
    layers: int
    """Number of layers."""
    heads: int
    """Attention heads."""
    head_dim: int
    """Width of a head."""
    context: int
    """Longest sequence, in tokens."""
    vocab_size: int | None = None
    """Vocabulary size of the tokenizer trained on the pool (`scratch`); the miniature has a fixed one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig:
    """Pre-training of a miniature base model on its generated corpus."""

    tokens: int
    """Tokens to pre-train on."""
    batch_tokens: int
    """Tokens of an optimiser step."""
    learning_rate: float
    """Peak learning rate of the pre-training."""
    seed: int
    """Decides everything random in this section."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeConfig:
    """A decoder's shape, as in its config.json: what a forecast needs before a hub model is downloaded."""

    layers: int
    """`num_hidden_layers` of config.json."""
    hidden: int
    """`hidden_size` of config.json."""
    heads: int
    """`num_attention_heads` of config.json."""
    kv_heads: int
    """`num_key_value_heads` of config.json."""
    intermediate: int
    """`intermediate_size` of config.json."""
    vocabulary: int
    """`vocab_size` of config.json."""
    tied: bool
    """Whether the LM head is the embedding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeScalingConfig:
    """How rotary angles are changed for rows longer than those of the pre-training, as in config.json."""

    rope_type: Literal["default", "linear", "yarn", "llama3"]
    """`dynamic` and `longrope` are no choice: by them a row's angles depend on the rows it is packed with."""
    factor: float | None = None
    """By how much the context grows."""
    original_max_position_embeddings: int | None = None
    """Longest row of the pre-training."""
    attention_factor: float | None = None
    """YaRN's factor of the attention's logits."""
    beta_fast: float | None = None
    """YaRN's bound for dimensions that are not scaled."""
    beta_slow: float | None = None
    """YaRN's bound for dimensions that are scaled by the whole factor."""
    low_freq_factor: float | None = None
    """Llama 3's bound for wavelengths that are scaled by the whole factor."""
    high_freq_factor: float | None = None
    """Llama 3's bound for wavelengths that are not scaled."""

    def __post_init__(self) -> None:
        needed = {
            "linear": ("factor",),
            "yarn": ("factor", "original_max_position_embeddings"),
            "llama3": ("factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"),
        }
        for key in needed.get(self.rope_type, ()):
            if getattr(self, key) is None:
                raise UserError(f"model.rope_scaling: rope_type={self.rope_type} needs {key}")
        for key, value in self.as_json().items():
            if key != "rope_type" and value <= 0:
                raise UserError(f"model.rope_scaling.{key}={value} must be positive")

    def as_json(self) -> dict[str, Any]:
        """What is set, as in config.json."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionsConfig:
    """What replaces a model's own settings of its positions; null: its own."""

    rope_theta: float | None = None
    rope_scaling: RopeScalingConfig | None = None
    max_position_embeddings: int | None = None

    def __post_init__(self) -> None:
        for key in ("rope_theta", "max_position_embeddings"):
            if (value := getattr(self, key)) is not None and value <= 0:
                raise UserError(f"model.{key}={value} must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateConfig:
    """What the model's chat template gets beside the conversation, in training and in evaluation."""

    date: str = "2024-07-26"
    """Today's date for templates that print it (Llama 3.2, gpt-oss), so that no result depends on the day."""
    enable_thinking: bool | None = None
    """The argument of this name: whether the model thinks before it answers (Qwen3); null: the template's
    default."""
    arguments: dict[str, Any] = field(default_factory=dict, hash=False)
    """Further arguments: {reasoning_effort: low}."""

    def __post_init__(self) -> None:
        try:
            date.fromisoformat(self.date)
        except ValueError as error:
            raise UserError(f"model.template.date={self.date} must be a date, such as 2024-07-26") from error
        if reserved := sorted(OWN_ARGUMENTS & self.arguments.keys()):
            raise UserError(f"model.template.arguments: {reserved[0]} is set elsewhere; remove it here")

    def given(self) -> dict[str, Any]:
        """The arguments that are not left to the template."""
        thinking = {} if self.enable_thinking is None else {"enable_thinking": self.enable_thinking}
        return self.arguments | thinking

    def as_input(self) -> dict[str, TemplateConfig]:
        """Its part in the inputs of an artifact: none where nothing is set, so that earlier keys stay."""
        return {} if self == TemplateConfig() else {"template": self}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The base model."""

    name: str
    """Name in tables."""
    source: Literal["hub", "miniature", "scratch"]
    """Hub (or a folder), or what is built here."""
    path: str | None = None
    """Hub id or local folder in the hub's format."""
    revision: str | None = None
    """Branch, tag or commit of the hub."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Type of the weights as they are loaded."""
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    """Kernel of the attention."""
    trust_remote_code: bool = field(default=False, metadata={"in_key": "unless default"})
    """Whether code that comes with a hub model runs: only where transformers has no class for it."""
    architecture: ArchitectureConfig | None = None
    pretrain: PretrainConfig | None = None
    rope_theta: float | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)
    """Base of the rotary angles; null, as of the next two: as in the model's config.json."""
    rope_scaling: RopeScalingConfig | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)
    max_position_embeddings: int | None = field(default=None, metadata=DEFAULT_NOT_IN_KEY)
    """Tokens of a prompt and its answer together, after which generation ends."""
    template: TemplateConfig = field(default=TemplateConfig(), metadata=DEFAULT_NOT_IN_KEY)
    shape: ShapeConfig | None = field(default=None, metadata=NOT_IN_KEY)
    """Shape of a hub model, for `limo-ablate plan`; checked against its config.json after the download."""

    def __post_init__(self) -> None:
        if self.path is not None and self.source != "hub":
            raise UserError(
                f"model.path={self.path}: model={self.name} is built here and has no path; for a folder set "
                "model=local model.path=FOLDER"
            )
        if self.positions and self.source != "hub":
            raise UserError(
                f"model.rope_theta, model.rope_scaling, model.max_position_embeddings: model={self.name} is "
                "built here; set model.architecture"
            )
        if self.trust_remote_code and self.source != "hub":
            raise UserError(
                f"model.trust_remote_code=true: model={self.name} is built here and comes without code"
            )

    @property
    def positions(self) -> PositionsConfig | None:
        """What replaces the model's own settings of its positions, if anything does."""
        own = PositionsConfig(
            rope_theta=self.rope_theta,
            rope_scaling=self.rope_scaling,
            max_position_embeddings=self.max_position_embeddings,
        )
        return None if own == PositionsConfig() else own
