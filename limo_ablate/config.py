"""The schema: every key the harness reads, as frozen dataclasses, one class per Hydra group.

`conf/` holds the values; `limo_ablate.compose` turns Hydra's DictConfig into a `TrialConfig` in one
place, and past it no DictConfig travels. Nothing heavy is imported here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any, Literal

from limo_ablate.errors import UserError
from limo_ablate.typed import nearest

UNKEYED = {"keyed": False}
"""Metadata of a field that states a fact and decides no result: it is in no key (`artifacts.plain`)."""
Tier = Literal["any", "L1", "L2", "L3", "L4", "L5", "skipped", "shuffled", "padded"]
TAKEN = (
    "problem", "solution", "text", "response", "gold", "source", "level", "subject", "pass_rate", "note",
    "tier", "teacher", "tokens", "digest", "given", "length", "row", "status", "rule", "answer", "elaborated",
    "group", "first", "flag", "cluster", "stratum",
)  # fmt: skip
"""Columns of a selection, which no lexicon may be named like."""
RULES = ("random", "pool", "longest", "shortest", "score", "residual", "column")
"""What comes first: by chance, in the pool's order, long or short solutions, a high score, a high score for
their length, a high `data.fields.score`. Each feature of the score is a rule too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldsConfig:
    """Where a row of a source holds what; null where it does not.

    A field is a column (`answer`), a path into nested ones (`conversations.0.value`), or a text around such
    (`{instruction}\n{input}`).
    """

    problem: str
    answer: str | None
    """Gold answer; null: the one that the first solution states (its last \\boxed, else `#### x`)."""
    solution: str | dict[str, str] | None = None
    """A text or a list of texts; or each teacher's field: {r1: deepseek_attempt, gemini: gemini_attempt}."""
    id: str | None = None
    level: str | None = None
    """A difficulty, higher is harder."""
    subject: str | None = None
    source: str | None = None
    pass_rate: str | None = None
    """Share of a reference model's samples that were right, 0..1; null: the share of `correct`, if given."""
    tier: str | None = None
    """A quality tier the data already carries (L1..L5); null: tiers come from the reasoning-chain score."""
    teacher: str | None = None
    """What wrote the solutions."""
    correct: str | None = None
    """Whether each solution is right, as the data says: a flag, or a list beside a list of solutions."""
    complete: str | None = None
    """Whether each solution came to its end; others are left out and listed."""
    tokens: str | None = None
    """Tokens of each solution."""
    score: str | None = None
    """A number for each solution, which `select.order=column` goes by."""


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
class ProblemsConfig:
    """Where problems come from."""

    source: Literal["miniature", "hub", "file"]
    path: str | None = None
    """Hub id, or a local file or folder (.jsonl, .json, .csv, .parquet, a snapshot folder)."""
    subset: str | None = None
    """A hub data set's configuration, where it has several."""
    split: str = "train"
    revision: str | None = None
    fields: FieldsConfig | None = None
    where: dict[str, Any] | None = None
    """Only rows whose fields have these values, or one of a list of them: {domain: [math, logic]}."""
    miniature: MiniatureProblemsConfig | None = None
    limit: int | None = None
    """Only the first so many problems."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UserError(f"limit={self.limit}: at least one problem is needed; null takes all")


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneConfig:
    """Rows of its own that a reference model is fine-tuned on first."""

    data: DataConfig
    select: SelectConfig
    train: TrainConfig

    def __post_init__(self) -> None:
        if self.select.difficulty != "any":
            raise UserError(
                f"tune.select.difficulty={self.select.difficulty}: a reference model measures difficulty and "
                "can't be chosen by it; use any"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceStageConfig:
    """A model that tries each problem several times; the verifier counts what it got right."""

    model: ModelConfig
    tune: TuneConfig | None = None
    """Null: the model as it is."""
    samples: int
    temperature: float
    top_p: float
    max_tokens: int
    goes_on: tuple[int, int] | None
    """Fewest and most right samples with which a problem goes on to the next stage; null: all go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """What generates completions, and how fast; what is drawn depends on `engine` alone."""

    engine: Literal["transformers", "paged", "vllm"]
    batch_size: int
    """Completions that each replica decodes side by side."""
    tensor_parallel: int = 1
    """GPUs that share a copy of the model; `hardware.processes` / this many copies generate side by side."""

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.tensor_parallel < 1:
            raise UserError(
                f"batch_size={self.batch_size} and tensor_parallel={self.tensor_parallel} must be at least 1"
            )
        if self.tensor_parallel > 1 and self.engine != "vllm":
            raise UserError(
                f"tensor_parallel={self.tensor_parallel}: engine={self.engine} holds a whole model on each "
                "GPU; use engine=vllm or tensor_parallel=1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceConfig(EngineConfig):
    """How pass rates are measured (LIMO, section 3.1): one stage after the other, the last one's count."""

    stages: dict[str, ReferenceStageConfig]
    system_prompt: str | None
    seed: int

    def __post_init__(self) -> None:
        super(ReferenceConfig, self).__post_init__()
        for name, stage in self.stages.items():
            _check_sampling(f"data.difficulty.reference.stages.{name}", stage)


@dataclass(frozen=True, slots=True, kw_only=True)
class DifficultyConfig:
    """What `select.difficulty` reads: a named band, or a number beyond which (harder) problems are kept."""

    measure: Literal["level", "pass_rate", "solutions", "reference"]
    """The data's level; the pass rate it carries; the share of the pool's own solutions that the verifier
    accepts; or the pass rate of reference models, measured here."""
    bands: dict[str, tuple[float, float]]
    """Name -> (lowest, highest), both included."""
    reference: ReferenceConfig | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in self.bands.items():
            if low > high:
                raise UserError(f"data.difficulty.bands.{name}=[{low:g}, {high:g}]: the lowest comes first")
        if self.measure == "reference" and not (self.reference and self.reference.stages):
            raise UserError(
                "data.difficulty.measure=reference needs data.difficulty.reference.stages; "
                "data/difficulty=limo has two"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig(ProblemsConfig):
    """A pool of problems and solutions."""

    name: str
    difficulty: DifficultyConfig
    parts: dict[str, ProblemsConfig] | None = None
    """Several sources instead of `path`; a part's name is the source of its rows."""
    bad_rows: Literal["skip", "error"] = "skip"
    """Rows that don't fit are listed with file, line and reason; then the rest goes on, or it stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreConfig:
    """The reasoning-chain score (LIMO, section 3.2): features and weights are the paper's, the rest ours."""

    name: str
    """Of this version of the word lists, scaling and edges; selections and manifests carry it."""
    weights: dict[str, float]
    """Of `elaborated` (length) and of each lexicon."""
    lexicons: dict[str, str]
    """Feature -> words and phrases between commas, any language; counted per 100 of the length."""
    scaling: Literal["rank", "zscore", "minmax"]
    """How a feature is made comparable with the others over all solutions."""
    edges: tuple[float, float, float, float]
    """Shares of the solutions, by score, at which tiers L2, L3, L4, L5 begin."""
    within: Literal["pool", "problem"]
    """Tiers by place among all solutions, or among those of the same problem (RQ1: each in every tier)."""

    def __post_init__(self) -> None:
        unknown = set(self.weights) ^ {"elaborated", *self.lexicons}
        if unknown:
            raise UserError(
                f"select.score: {', '.join(sorted(unknown))} must be in both weights and lexicons "
                "(elaborated, which has no words, in weights only)"
            )
        if taken := sorted(set(self.lexicons) & {*RULES, *TAKEN}):
            raise UserError(f"select.score.lexicons.{taken[0]}: that name is taken; choose another")
        if not all(math.isfinite(weight) for weight in self.weights.values()):
            raise UserError(f"select.score.weights={self.weights}: every weight must be a number")
        rising = all(low <= high for low, high in pairwise(self.edges))
        if not (rising and self.edges[0] > 0 and self.edges[-1] < 1):
            raise UserError(f"select.score.edges={list(self.edges)}: four rising shares between 0 and 1")
        for name, phrases in self.phrases().items():
            if not phrases:
                raise UserError(f"select.score.lexicons.{name}: no words; list them, with commas between")

    def phrases(self) -> dict[str, tuple[str, ...]]:
        """Feature -> its words and phrases."""
        return {
            name: tuple(word for part in lexicon.split(",") if (word := part.strip()))
            for name, lexicon in self.lexicons.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MinHashConfig:
    threshold: float
    """Estimated Jaccard similarity of the word shingles from which two problems are near-duplicates, 0..1."""
    shingle: int
    """Words of a shingle."""
    permutations: int
    seed: int

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**64:
            raise UserError(f"minhash: seed={self.seed} must be 0 or more, and below 2^64")
        if not (0 < self.threshold <= 1 and self.shingle > 0 and self.permutations > 0):
            raise UserError(
                f"minhash: threshold={self.threshold} must be above 0 and at most 1, shingle={self.shingle} "
                f"and permutations={self.permutations} at least 1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContaminationConfig:
    """The gate between the pool and the benchmarks that the cell evaluates."""

    policy: Literal["none", "report", "drop", "error"]
    """`report` keeps flagged problems and scores on clean benchmark items too."""
    punctuation: Literal["separate", "delete"]
    """What is neither a-z, 0-9 nor a Chinese character (each a word) ends a word; or is nothing at all, when
    only white space ends one and an underscore is part of it."""
    exact: bool
    """Flag problems with the same words."""
    ngrams: tuple[int, ...]
    """Flag problems that share a run of so many words, for each of these lengths."""
    masked_ngrams: tuple[int, ...]
    """The same with every number replaced by one mark: the same problem with other numbers."""
    minhash: MinHashConfig | None
    also: dict[str, BenchmarkSetConfig]
    """Benchmarks to look at besides those that are evaluated."""

    def __post_init__(self) -> None:
        for key in ("ngrams", "masked_ngrams"):
            lengths = getattr(self, key)
            if any(n < 1 for n in lengths):
                raise UserError(f"select.contamination.{key}={list(lengths)}: lengths must be 1 or more")
        searching = self.exact or self.ngrams or self.masked_ngrams or self.minhash
        if self.policy != "none" and not searching:
            raise UserError(
                "select.contamination looks for nothing: set exact, ngrams, masked_ngrams or minhash, "
                "or select/contamination=none"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class StratifyConfig:
    by: Literal["source", "level", "subject", "teacher", "difficulty", "cluster"]
    """`difficulty`: fifths of `data.difficulty.measure`; `cluster`: problems alike by MinHash."""
    shares: Literal["proportional", "equal"]
    """Of the subset: as in the pool (iso-difficulty, say), or the same for each (s1's diversity)."""
    minhash: MinHashConfig | None = None
    """For `cluster`: what is alike."""

    def __post_init__(self) -> None:
        if (self.by == "cluster") != (self.minhash is not None):
            raise UserError(
                f"select.stratify.by={self.by}: `cluster`, and nothing else, needs select.stratify.minhash "
                "(threshold, shingle, permutations, seed); select=s1k_clusters has one"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectConfig:
    """Which rows of the pool are trained on: what the study varies; see docs/selection.md."""

    size: int | None
    """Training examples; null: all that pass the filters. Smaller sizes are subsets of larger ones."""
    tokens: int | Literal["match"] | None
    """Response tokens to train on, met within 0.5 %. With `size`, exactly so many rows that have them;
    `match`: as many as the tier with the fewest has at this size, so that arms that differ in tier agree."""
    difficulty: float | str
    """A band of `data.difficulty.bands`, `any`, or a threshold (level at least, pass rate at most)."""
    quality: Tier
    """Tier of the solution."""
    correctness: Literal["any", "correct", "wrong"]
    """Only solutions that the verifier accepts, or refuses."""
    teacher: str
    """Only this teacher's solutions, or `any`."""
    duplicates: Literal["keep", "drop"]
    """Problems with the same words as an earlier one of the pool."""
    same_problems: bool
    """Only problems that have a solution in each of L1..L5. With order=random or pool, arms of one size that
    differ in tier then have the same questions (RQ1)."""
    solutions: int
    """At most so many solutions of a problem; 0 chooses questions, for a teacher to solve."""
    best: str
    """The rule by which a problem's solutions are chosen."""
    order: str
    """The rule by which problems are chosen. A rule is one of `RULES`; `-` before it turns it round."""
    stratify: StratifyConfig | None
    perturb: Literal["none", "shuffled_steps", "keywords_stripped", "format_only"]
    """Negative controls: what is done to each chosen solution."""
    score: ScoreConfig
    contamination: ContaminationConfig
    seed: int

    def __post_init__(self) -> None:
        for key, rule in (("best", self.best), ("order", self.order)):
            known = (*RULES, *self.score.weights)
            if rule.removeprefix("-") not in known:
                raise UserError(
                    f"select.{key}={rule}: not a rule{nearest(rule, known)} Rules: {', '.join(known)}, "
                    "each also with - before it"
                )
        if self.tokens == "match" and self.size is None:
            raise UserError(
                "select.tokens=match needs select.size: the rows of the tier with the fewest tokens"
            )
        for key in ("size", "tokens", "solutions"):
            value = getattr(self, key)
            if isinstance(value, int) and value < (1 if key == "tokens" else 0):
                raise UserError(f"select.{key}={value}: can't be that few")


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
class ShapeConfig:
    """A decoder's shape, as its config.json has it: what a forecast needs to know of a model of the hub."""

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
    architecture: ArchitectureConfig | None = None
    pretrain: PretrainConfig | None = None
    shape: ShapeConfig | None = field(default=None, metadata=UNKEYED)
    """Of a model of the hub, for `limo-ablate plan`; checked against its config.json once it is here."""

    def __post_init__(self) -> None:
        if self.path is not None and self.source != "hub":
            raise UserError(
                f"model.path={self.path}: model={self.name} is made here and reads none; a folder is "
                "taken by model=local model.path=FOLDER"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig:
    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...]
    save: Literal["merged", "adapter"] = "merged"
    """The whole model, or the adapter beside a reference to its base: small, and gone with its base."""
    quantize: Literal["none", "nf4"] = "none"
    """How the frozen weights are held while training: nf4 is QLoRA's four bits (`qlora` extra)."""

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
    """Drawn by the training's seed; with several solutions of a problem, all of them are held out."""
    every: int
    """Optimiser steps between measurements of their loss; it is measured after the last step too."""
    keep: Literal["last", "best"]
    """Which weights are saved: the last, or those of the step with the lowest dev loss."""

    def __post_init__(self) -> None:
        if self.rows < 1 or self.every < 1:
            raise UserError(f"train.dev: rows={self.rows} and every={self.every} must be at least 1")


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
    micro_batch_tokens: int
    """Tokens per forward pass of one process: rows are packed up to it, a longer one goes alone."""
    max_length: int
    """Tokens a row may have; longer rows are dropped and counted, never cut."""
    system_prompt: str | None
    gradient_checkpointing: bool
    loss: Literal["torch", "liger"] = "torch"
    """What computes LM head and cross entropy: PyTorch, or on a GPU Liger's fused kernel (`liger` extra)."""
    compile: bool = False
    """Compiles each decoder layer: faster steps where they are many and large, a slow start."""
    checkpoint_seconds: float
    """Seconds between checkpoints; 0 writes one after every step."""
    checkpoint_steps: int | None = None
    """Optimiser steps between checkpoints, besides; null: only time counts."""
    lora: LoraConfig | None
    dev: DevConfig | None = None
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
        if self.global_batch_size < 1 or self.micro_batch_tokens < 1:
            raise UserError("train.global_batch_size and train.micro_batch_tokens must be at least 1")
        if self.learning_rate < 0 or self.grad_clip <= 0 or not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(
                f"train: learning_rate={self.learning_rate} must not be negative, grad_clip={self.grad_clip} "
                f"must be positive, and each of betas={list(self.betas)} from 0 to below 1"
            )
        if not 0 <= self.warmup_ratio <= 1:
            raise UserError(f"train.warmup_ratio={self.warmup_ratio} is a share of the steps, from 0 to 1")
        if self.checkpoint_steps is not None and self.checkpoint_steps < 1:
            raise UserError(f"train.checkpoint_steps={self.checkpoint_steps} must be at least 1, or null")


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
    cpu_offload: bool = False
    """Weights, gradients and optimiser states wait in the CPU's memory (fsdp2 and zero3): slower, smaller."""
    context_parallel: int = 1
    """Processes that share each row, for rows too long for one."""
    nodes: int = 1
    """Machines of one trial; `processes` counts the ranks of all."""
    hosts: tuple[str, ...] | None = None
    """Their names, the one the trial starts on first; null: those of the Slurm allocation."""
    remote: str | None = None
    """What runs a shell command line, its last argument, on a host, e.g. `ssh {host}`; null: Slurm's srun."""

    def __post_init__(self) -> None:
        if self.processes < 1 or self.threads < 1:
            raise UserError(
                f"hardware.processes={self.processes} and hardware.threads={self.threads} must be at least 1"
            )
        if (self.processes == 1) != (self.strategy == "single"):
            raise UserError(
                f"hardware.strategy={self.strategy} does not fit hardware.processes={self.processes}: "
                "one process is `single`, several are `ddp`, `fsdp2` or `zero3`"
            )
        if self.cpu_offload and self.strategy not in ("fsdp2", "zero3"):
            raise UserError(f"hardware.cpu_offload goes with fsdp2 and zero3, not with {self.strategy}")
        for key in ("context_parallel", "nodes"):
            parts = getattr(self, key)
            if parts < 1 or self.processes % parts:
                raise UserError(f"hardware.{key}={parts} must divide hardware.processes={self.processes}")
        if self.hosts is not None and len(self.hosts) != self.nodes:
            raise UserError(f"hardware.hosts names {len(self.hosts)} machines, hardware.nodes={self.nodes}")
        if self.hosts is not None and self.remote is None:
            raise UserError("hardware.hosts needs hardware.remote, how to reach them, e.g. 'ssh {host}'")
        if self.context_parallel > 1 and self.strategy == "zero3":
            raise UserError("hardware.context_parallel goes with ddp and fsdp2, not with zero3")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoicesConfig:
    """Options of a multiple-choice set, shuffled for each problem: where they stand, how they are asked."""

    wrong: tuple[str, ...] | None = None
    """Fields of the wrong options, the answer being the text of the right one; null: the options stand
    lettered inside the problem's text, and the answer is a letter."""
    instruction: str | None = None
    """What follows the options; null: the last paragraph of the problem's text, where they stand in it."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.wrong is not None and not 1 <= len(self.wrong) <= 9:
            raise UserError(f"choices.wrong={list(self.wrong)}: one to nine fields, or null")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSetConfig(ProblemsConfig):
    """Problems with gold answers."""

    split: str = "test"
    choices: ChoicesConfig | None = None
    """For multiple choice; null leaves the problem as it is."""
    groups: dict[str, tuple[float, float]] | None = None
    """Scores are also given for these ranges of the problems' level, both ends included."""
    items: int | None = field(default=None, metadata=UNKEYED)
    """Problems it has, for `limo-ablate plan` where they can't be counted; checked once it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkConfig(BenchmarkSetConfig):
    """A set, and how it is sampled."""

    samples: int
    """Completions per problem."""
    temperature: float
    """0 is greedy."""
    top_p: float
    max_tokens: int
    """New tokens a completion may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeConfig:
    """A model that is asked, greedily, about the answers that the verifier leaves undecided."""

    model: ModelConfig
    system_prompt: str | None
    prompt: str
    """With {problem}, {gold} and {answer}; it must ask for a last line that is `correct` or `incorrect`."""
    max_tokens: int
    sample: int
    """Decided answers of each benchmark that it is asked about too: how far it agrees with the verifier."""
    seed: int
    """Draws that sample."""

    def __post_init__(self) -> None:
        missing = [part for part in ("{problem}", "{gold}", "{answer}") if part not in self.prompt]
        if missing:
            raise UserError(f"eval.judge.prompt lacks {', '.join(missing)}: the judge must be shown them")
        if self.sample < 0 or self.max_tokens < 1:
            raise UserError(
                f"eval.judge: sample={self.sample} must be 0 or more, max_tokens={self.max_tokens} 1 or more"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeConfig:
    """Whether the model completes a benchmark's problems by heart (Wu et al. 2025, 2507.10532)."""

    share: float
    """Of a problem's words, which the model is given."""
    max_tokens: int

    def __post_init__(self) -> None:
        if not 0 < self.share < 1 or self.max_tokens < 1:
            raise UserError(
                f"eval.probe: share={self.share:g} must lie between 0 and 1, "
                f"max_tokens={self.max_tokens} be 1 or more"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportConfig:
    """Scores problem by problem while a benchmark is evaluated, in `reports.jsonl`, for a search's pruner."""

    score: str
    """A benchmark, or a group of it: only its problems are evaluated ahead of the rest."""
    every: int
    """Problems that are evaluated before the next look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig(EngineConfig):
    benchmarks: dict[str, BenchmarkConfig]
    system_prompt: str | None
    noise_floor: int | None = None
    """Batch size of a second pass over the greedy benchmarks, whose differences are rounding; null: none."""
    judge: JudgeConfig | None = None
    probe: ProbeConfig | None = None
    report: ReportConfig | None = None
    """Changes no result; a search with a pruner sets it."""
    seed: int

    def __post_init__(self) -> None:
        super(EvalConfig, self).__post_init__()
        for name, benchmark in self.benchmarks.items():
            _check_sampling(f"eval.benchmarks.{name}", benchmark)
        if self.report:
            self._check_report(self.report)
        if self.noise_floor is not None and (self.noise_floor < 1 or self.noise_floor == self.batch_size):
            raise UserError(
                f"eval.noise_floor={self.noise_floor}: a batch size of 1 or more, other than "
                f"eval.batch_size={self.batch_size}; null for no second pass"
            )

    def _check_report(self, report: ReportConfig) -> None:
        named = {*self.benchmarks, *(f"{n}/{g}" for n, b in self.benchmarks.items() for g in b.groups or ())}
        if report.score not in named or report.every < 1:
            raise UserError(
                f"eval.report: score={report.score} must be one of {', '.join(sorted(named))}, "
                f"every={report.every} be 1 or more"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackConfig:
    kind: Literal["wandb", "none"]
    project: str = "limo-ablate"
    entity: str | None = None
    mode: Literal["offline", "online", "disabled"] = "offline"
    patience_seconds: float = 120
    """A finished trial waits for its uploads so long; the rest is on disk, for `limo-ablate wandb-sync`."""

    def __post_init__(self) -> None:
        if self.patience_seconds <= 0:
            raise UserError(f"track.patience_seconds={self.patience_seconds:g} must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmConfig:
    """What is asked of Slurm for each job of a study; docs/slurm.md."""

    jobs: Literal["trial", "worker"]
    """One job for each trial, or long-lived workers that take one trial after the other."""
    workers: int
    """Jobs at the same time: the throttle of an array of trials, or the number of workers."""
    partition: str | None
    time_minutes: int
    gpus_per_node: int | None
    """null: as many as a trial needs; a worker, which uses all that it is given, must be told."""
    cpus_per_task: int | None
    """null: as many as a trial needs; for a worker all of its machine."""
    memory_gb: int | None
    """null: the cluster's default; for a worker with a machine of its own all of it."""
    extra: dict[str, Any]
    """More of sbatch's own options: {account: lab, constraint: h100}."""

    def __post_init__(self) -> None:
        for key in ("workers", "time_minutes", "cpus_per_task", "memory_gb"):
            if (value := getattr(self, key)) is not None and value < 1:
                raise UserError(f"launch.slurm.{key}={value} must be at least 1")
        if self.gpus_per_node is not None and self.gpus_per_node < 0:
            raise UserError(f"launch.slurm.gpus_per_node={self.gpus_per_node} must be at least 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchConfig:
    """How a sweep uses this machine, or a cluster."""

    executor: Literal["local", "slurm"]
    slots: int | None
    """Trials side by side; null: as many as the cores (or GPUs) allow."""
    attempts: int
    """A cell that failed so often is left alone; a larger number tries again."""
    backoff_seconds: float
    """Before a failed cell's second attempt; twice as long before each further one."""
    hang_seconds: float | None
    """A trial whose progress and log stand still for so long is ended and tried again; null: never."""
    grace_seconds: float
    """Between SIGTERM and SIGKILL: the time a trial has to write a checkpoint."""
    slurm: SlurmConfig | None = None

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.backoff_seconds < 0 or self.grace_seconds < 0:
            raise UserError(
                f"launch: attempts={self.attempts} must be at least 1, "
                f"backoff_seconds={self.backoff_seconds:g}, grace_seconds={self.grace_seconds:g} at least 0"
            )
        if self.hang_seconds is not None and self.hang_seconds <= 0:
            raise UserError(f"launch.hang_seconds={self.hang_seconds:g} must be positive, or null")
        if (self.executor == "slurm") != (self.slurm is not None):
            raise UserError(
                f"launch.executor={self.executor}: launch.slurm goes with slurm, and only with it"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PathsConfig:
    artifacts: str
    """The content-addressed store, shared by all studies."""
    selections: str
    """A folder per selection that `limo-ablate select` shows."""
    studies: str
    """A folder per study: ledger, trials, report."""
    benchmarks: str
    """Local benchmark files; only `conf/eval` refers to it."""
    pools: str
    """Local pool files; only `conf/data` refers to it."""


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
                f"choose {', '.join(['any', *bands])} or a number; data/difficulty= chooses other bands"
            )
        for name, problems in self.select.contamination.also.items():
            evaluated = self.eval.benchmarks.get(name)
            if evaluated and not _same_problems(evaluated, problems):
                raise UserError(
                    f"select.contamination.also.{name}: a benchmark of that name is evaluated (path "
                    f"{evaluated.path}); give this one ({problems.path}) another name"
                )


def _check_sampling(where: str, how: BenchmarkConfig | ReferenceStageConfig) -> None:
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


def _same_problems(one: BenchmarkSetConfig, other: BenchmarkSetConfig) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in DECISIVE)


DECISIVE = tuple(f.name for f in fields(BenchmarkSetConfig) if f.name not in ("groups", "items"))
"""Fields that decide which problems a benchmark has."""
