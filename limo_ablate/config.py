"""The schema: every key the harness reads, as frozen dataclasses, one class per Hydra group.

`conf/` holds the values; `limo_ablate.compose` turns Hydra's DictConfig into a `TrialConfig` in one
place, and past it no DictConfig travels. Nothing heavy is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from limo_ablate.errors import UserError

Tier = Literal["any", "L1", "L2", "L3", "L4", "L5", "skipped", "shuffled", "padded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldsConfig:
    """Which column of a source holds what; null where the source has no such column."""

    problem: str
    answer: str | None
    """Gold answer; null: the last \\boxed of the solution."""
    solution: str | None = None
    id: str | None = None
    level: str | None = None
    subject: str | None = None
    source: str | None = None
    pass_rate: str | None = None
    """Share of a reference model's samples that were right, 0..1."""
    tier: str | None = None
    """A quality tier the data already carries (L1..L5); null: tiers come from the reasoning-chain score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DifficultyConfig:
    """How `select.difficulty` reads: a named band, or a number beyond which (harder) problems are kept."""

    column: Literal["level", "pass_rate"]
    bands: dict[str, tuple[float, float]]
    """Name -> (lowest, highest), both included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniatureProblemsConfig:
    """Recurrences modulo 100, made by `pool/miniature`; see docs/miniature.md."""

    per_level: int
    """Problems for each level."""
    levels: tuple[int, int]
    """Fewest and most steps, both included."""
    seed: int
    holdout: Literal["train", "test"]
    """Train and test problems are disjoint by construction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """A pool of problems and solutions."""

    name: str
    source: Literal["miniature", "hub", "file"]
    difficulty: DifficultyConfig
    path: str | None = None
    """Hub id, or a local file or folder (.json, .jsonl, .parquet, a snapshot folder)."""
    split: str = "train"
    revision: str | None = None
    fields: FieldsConfig | None = None
    miniature: MiniatureProblemsConfig | None = None
    bad_rows: Literal["skip", "error"] = "skip"
    """Rows that don't fit are listed with file, line and reason; then the rest goes on, or it stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectConfig:
    """Which rows of the pool are trained on: what the study varies."""

    size: int | None
    """Training examples; null: all that pass the filters. Smaller sizes are subsets of larger ones."""
    difficulty: float | str
    """A band of `data.difficulty.bands`, `any`, or a threshold (level at least, pass rate at most)."""
    quality: Tier
    """Tier of the solution."""
    order: Literal["random", "score", "longest", "shortest", "pool"]
    """What comes first when only `size` rows are taken."""
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureConfig:
    """A Qwen2 built from scratch."""

    width: int
    layers: int
    heads: int
    head_dim: int
    context: int
    vocab_size: int | None = None
    """Size of the byte-level BPE trained on the pool (`scratch`); the miniature has its own vocabulary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig:
    """Pre-training of a miniature base model on its generated corpus."""

    tokens: int
    batch_tokens: int
    learning_rate: float
    seed: int


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
    architecture: ArchitectureConfig | None = None
    pretrain: PretrainConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig:
    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Supervised fine-tuning. Exactly one of epochs, steps, tokens is the budget."""

    epochs: float | None
    steps: int | None
    tokens: int | None
    """Trained (response) tokens."""
    learning_rate: float
    schedule: Literal["cosine", "linear", "constant"]
    warmup_ratio: float
    weight_decay: float
    betas: tuple[float, float]
    grad_clip: float
    global_batch_size: int
    """Rows per optimiser step, over all processes."""
    micro_batch_size: int
    """Rows per forward pass of one process."""
    max_length: int
    """Tokens a row may have; longer rows are dropped and counted, never cut."""
    system_prompt: str | None
    gradient_checkpointing: bool
    checkpoint_seconds: float
    """Seconds between checkpoints; null-free: 0 writes one after every step."""
    lora: LoraConfig | None
    seed: int

    def __post_init__(self) -> None:
        budgets = [b for b in (self.epochs, self.steps, self.tokens) if b is not None]
        if len(budgets) != 1:
            raise UserError(
                "train.epochs, train.steps, train.tokens: exactly one is the budget, "
                f"{len(budgets)} are set; set the others to null"
            )
        if budgets[0] <= 0:
            raise UserError(f"the training budget must be positive, not {budgets[0]}")
        if self.global_batch_size < 1 or self.micro_batch_size < 1:
            raise UserError("train.global_batch_size and train.micro_batch_size must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareConfig:
    """What one trial runs on."""

    name: str
    device: Literal["cpu", "cuda"]
    processes: int
    """Ranks of one trial; on a GPU machine also its number of GPUs."""
    strategy: Literal["single", "ddp", "fsdp2", "zero3"]
    precision: Literal["no", "bf16"]
    threads: int
    """CPU threads of each process."""

    def __post_init__(self) -> None:
        if (self.processes == 1) != (self.strategy == "single"):
            raise UserError(
                f"hardware.strategy={self.strategy} does not fit hardware.processes={self.processes}: "
                "one process is `single`, several are `ddp`, `fsdp2` or `zero3`"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkConfig:
    """Problems with gold answers, and how they are sampled."""

    source: Literal["miniature", "hub", "file"]
    samples: int
    """Completions per problem."""
    temperature: float
    """0 is greedy."""
    top_p: float
    max_tokens: int
    """New tokens a completion may have."""
    path: str | None = None
    split: str = "test"
    revision: str | None = None
    fields: FieldsConfig | None = None
    miniature: MiniatureProblemsConfig | None = None
    groups: dict[str, tuple[float, float]] | None = None
    """Scores are also given for these ranges of the problems' level, both ends included."""
    limit: int | None = None
    """Only the first so many problems."""

    def __post_init__(self) -> None:
        if self.temperature == 0 and self.samples > 1:
            raise UserError(
                f"samples={self.samples} at temperature=0: greedy samples are all the same; "
                "set samples=1 or a temperature above 0"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig:
    benchmarks: dict[str, BenchmarkConfig]
    engine: Literal["transformers"]
    batch_size: int
    """Completions decoded side by side."""
    system_prompt: str | None
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackConfig:
    kind: Literal["wandb", "none"]
    project: str = "limo-ablate"
    entity: str | None = None
    mode: Literal["offline", "online", "disabled"] = "offline"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchConfig:
    """How a sweep uses this machine."""

    slots: int | None
    """Trials side by side; null: as many as the cores (or GPUs) allow."""
    attempts: int
    """A cell that failed so often is left alone; a larger number tries again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathsConfig:
    artifacts: str
    """The content-addressed store, shared by all studies."""
    studies: str
    """A folder per study: ledger, trials, report."""
    benchmarks: str
    """Local benchmark files; only `conf/eval` refers to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialConfig:
    """One trial, whole."""

    data: DataConfig
    select: SelectConfig
    model: ModelConfig
    train: TrainConfig
    hardware: HardwareConfig
    eval: EvalConfig
    track: TrackConfig
    launch: LaunchConfig
    paths: PathsConfig
    seed: int
    """Feeds select.seed, train.seed and eval.seed unless they are set."""

    def __post_init__(self) -> None:
        difficulty, bands = self.select.difficulty, self.data.difficulty.bands
        if isinstance(difficulty, str) and difficulty not in ("any", *bands):
            raise UserError(
                f"select.difficulty={difficulty} is no band of data={self.data.name}; "
                f"choose any, {', '.join(bands)}, or a number"
            )
