"""Configuration of supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from limo_ablate.core.artifacts import DEFAULT_NOT_IN_KEY, NOT_IN_KEY
from limo_ablate.core.errors import UserError
from limo_ablate.core.registry import Entry, Registry

Schedule: TypeAlias = Callable[[float], float]
"""Share of the steps after warm-up that are done, 0..1 -> share of the peak learning rate."""
PLAN = "limo_ablate.model.train.plan"
SCHEDULES: Registry[Schedule] = Registry(
    "schedule",
    {
        "cosine": Entry(f"{PLAN}:cosine", "half a cosine from the peak down to 0"),
        "linear": Entry(f"{PLAN}:linear", "a straight line from the peak down to 0"),
        "constant": Entry(f"{PLAN}:constant", "the peak to the end"),
    },
)
"""How the learning rate changes after warm-up."""

TOKEN_KEYS = ("system_prompt", "max_length", "response", "loss_on")
"""Keys of `TrainConfig` that decide the tokens; what follows depends on them through the tokens' digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig:
    rank: int
    """Rank of the adapters."""
    alpha: float
    """Scale of the adapters: alpha / rank."""
    dropout: float
    """Share of the adapters' inputs that are dropped."""
    targets: tuple[str, ...]
    """Names of the linear layers."""
    save: Literal["merged", "adapter"] = "merged"
    """Saves the whole model, or a small adapter that is useless without its base."""
    quantize: Literal["none", "nf4"] = "none"
    """Format of the frozen weights during training: nf4 is QLoRA's four bits (`qlora` extra)."""

    def __post_init__(self) -> None:
        if self.rank < 1 or not 0 <= self.dropout < 1 or not self.targets:
            raise UserError(
                f"train.lora: rank={self.rank} must be at least 1, dropout={self.dropout} from 0 to below 1, "
                f"and targets={list(self.targets)} must name modules"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DevConfig:
    """Rows that are held out of training."""

    rows: int
    """Number of rows, drawn by the training's seed; all solutions of a problem are held out together."""
    every: int
    """Optimiser steps between measurements of the dev loss; it is also measured after the last step."""
    keep: Literal["last", "best"]
    """Weights to save: the last ones, or those of the step with the lowest dev loss."""

    def __post_init__(self) -> None:
        if self.rows < 1 or self.every < 1:
            raise UserError(f"train.dev: rows={self.rows} and every={self.every} must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptConfig:
    """Points of a training whose weights are kept, and scored like the last ones. Exactly one is set."""

    epochs: tuple[float | Literal["last"], ...] | None = None
    """Epochs after which weights are kept; `last` is the end, which is always scored."""
    steps: tuple[int | Literal["last"], ...] | None = None
    """Optimiser steps after which they are."""

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise UserError(
                "eval.at: set epochs or steps, one of the two, as in eval.at={epochs: [1, 2, last]}"
            )
        if not self.points or min(self.points) <= 0:
            raise UserError(
                f"eval.at.{self.unit}={list(self.epochs or self.steps or ())}: needs points above 0 and "
                "before the last; set eval.at=null for none"
            )

    @property
    def unit(self) -> Literal["epochs", "steps"]:
        return "steps" if self.epochs is None else "epochs"

    @property
    def points(self) -> list[float]:
        """In ascending order, without `last`."""
        return sorted({point for point in (self.epochs or self.steps or ()) if point != "last"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Supervised fine-tuning. Exactly one of epochs, steps and tokens sets the length of the training."""

    epochs: float | None
    """Passes over the rows."""
    steps: int | None
    """Optimiser steps."""
    tokens: int | None
    """Response tokens to train on."""
    learning_rate: float
    """Peak learning rate."""
    schedule: Annotated[str, SCHEDULES]
    """How the learning rate falls."""
    warmup_ratio: float
    """Share of the steps in which the learning rate rises."""
    weight_decay: float
    """AdamW's weight decay."""
    betas: tuple[float, float]
    """AdamW's decay rates of the two moments."""
    grad_clip: float
    """Largest norm of the gradient."""
    global_batch_size: int
    """Rows per optimiser step, over all processes."""
    micro_batch_tokens: int
    """Tokens per forward pass of one process: rows are packed up to it; a longer row is passed alone."""
    max_length: int
    """Largest number of tokens of a row; longer rows are dropped and counted, never truncated."""
    system_prompt: str | None
    """System turn; null: none."""
    response: Literal["solution", "turn"] = field(default="solution", metadata=DEFAULT_NOT_IN_KEY)
    """What follows the prompt: the solution as it stands, with the token that ends a turn; or what the chat
    template makes of it, such as gpt-oss's channel around it."""
    loss_on: Literal["every", "last"] = field(default="every", metadata=DEFAULT_NOT_IN_KEY)
    """Of a dialog: whether every turn of the assistant has a loss, or the last one alone."""
    gradient_checkpointing: bool
    """Computes activations again in the backward pass: less memory, more time."""
    loss: Literal["torch", "liger"] = "torch"
    """Kernel for LM head and cross entropy: PyTorch, or on a GPU Liger's fused kernel (`liger` extra)."""
    compile: bool = False
    """Compiles each decoder layer: steps of large models become faster, the start slower."""
    checkpoint_seconds: float = field(metadata=NOT_IN_KEY)
    """Seconds between checkpoints, more where they would take over 5 % of the training's time; 0 writes one
    after every step."""
    checkpoint_steps: int | None = field(default=None, metadata=NOT_IN_KEY)
    """Optimiser steps between checkpoints, in addition; null: only `checkpoint_seconds`."""
    lora: LoraConfig | None
    dev: DevConfig | None = None
    seed: int
    """Decides everything random in this section."""

    def __post_init__(self) -> None:
        budgets = [b for b in (self.epochs, self.steps, self.tokens) if b is not None]
        if len(budgets) != 1:
            raise UserError(
                "train.epochs, train.steps, train.tokens: exactly one must be set, "
                f"{len(budgets)} are; set the others to null"
            )
        if budgets[0] <= 0:
            raise UserError(f"train.epochs, train.steps, train.tokens: {budgets[0]} must be positive")
        if self.global_batch_size < 1 or self.micro_batch_tokens < 1:
            raise UserError("train.global_batch_size and train.micro_batch_tokens must be at least 1")
        if self.learning_rate < 0 or self.grad_clip <= 0 or not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(
                f"train: learning_rate={self.learning_rate} must not be negative, grad_clip={self.grad_clip} "
                f"must be positive, and each of betas={list(self.betas)} from 0 to below 1"
            )
        if not 0 <= self.warmup_ratio <= 1:
            raise UserError(
                f"train.warmup_ratio={self.warmup_ratio} must be from 0 to 1, a share of the steps"
            )
        if self.checkpoint_steps is not None and self.checkpoint_steps < 1:
            raise UserError(f"train.checkpoint_steps={self.checkpoint_steps} must be at least 1, or null")
