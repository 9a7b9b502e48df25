"""What a training needs of its device's memory, forecast before any weight is read.

Per process, after Korthikanti et al. 2022 (section 4.1), for a dense decoder with SwiGLU, grouped-query
attention and an attention kernel that keeps no scores. `h` is the width, `i` the MLP's, `q` and `kv` the
widths of all query heads and of all key-value heads, `c` the bytes of the forward pass's type. The residual
stream and the norms stay float32 under mixed precision. A layer keeps for each token

    h (2 (4 + 4) + 2 c)      each norm: what comes in, that normalised, what the projections take
    c (3 q + 2 kv) + 4 heads queries, keys, values, each row's output, all rows' output; log-sum-exp
    4 c i                    gate, its SiLU, up, their product

or with gradient checkpointing only the 4 h of what comes in, while one layer at a time keeps all of it.
Frozen norms (LoRA) do not keep the normalised; autocast gives each of the five projections a copy of what it
takes. AdamW has 8 bytes for each float32 weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train.config import TrainConfig
from limo_ablate.model.train.plan import Plan
from limo_ablate.model.train.processes import SHARDED

if TYPE_CHECKING:
    from limo_ablate.model.train.token_rows import TokenRows

LOGITS_BYTES = 2**30
"""Of the float32 logits that exist at once; softmax and gradients take about three times that beside them."""
SAMPLED_STEPS = 64
"""Global batches that are packed to see how full a forward pass gets."""


@dataclass(frozen=True, slots=True)
class Load:
    """The heaviest forward pass of a process."""

    tokens: int
    labels: int
    """Tokens that are learnt."""
    longest: int
    """Tokens of the longest row: a pass can't have fewer."""
    several: bool
    """Whether a step has several passes, so that gradients are there while activations grow."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Bytes at the peak, by part; of one process but for `host`."""

    weights: int
    optimizer: int
    gradients: int
    activations: int
    working: int
    """What comes and goes beside the activations: the logits and their gradients, or a layer's."""
    host: int
    """In the machine's own memory, for all processes of a training on GPUs."""
    load: Load

    @property
    def total(self) -> int:
        """In the only pass of a step, gradients come as activations go: the larger of them counts."""
        passing = self.activations + self.working
        rest = self.gradients + passing if self.load.several else max(self.gradients, passing)
        return self.weights + self.optimizer + rest

    def __str__(self) -> str:
        return (
            f"{size(self.total)} at the peak: weights {size(self.weights)}, optimizer "
            f"{size(self.optimizer)}, gradients {size(self.gradients)}, activations of {self.load.tokens} "
            f"tokens {size(self.activations)}, working memory {size(self.working)}"
        )


@dataclass(frozen=True, slots=True)
class Shape:
    """What memory depends on of a model: numbers of parameters and widths."""

    parameters: int
    """All of them, tied ones counted once."""
    linear: int
    """Of them in the layers' linear maps, which is nearly all of a layer."""
    adapters: int
    """LoRA's parameters for each of its ranks."""
    layers: int
    width: int
    mlp: int
    queries: int
    keys: int
    heads: int
    vocabulary: int
    tied: bool


@lru_cache(maxsize=8)
def model_shape(folder: str, targets: tuple[str, ...] = ()) -> Shape:
    """Read off the model of `folder` on the meta device, without its weights; takes milliseconds."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config: Any = AutoConfig.from_pretrained(folder)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
    layers = model.get_decoder().layers
    linear = {n.rpartition(".")[2]: m for n, m in layers[0].named_modules() if isinstance(m, torch.nn.Linear)}
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Shape(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        linear=len(layers) * sum(m.weight.numel() for m in linear.values()),
        adapters=len(layers) * sum(m.in_features + m.out_features for n, m in linear.items() if n in targets),
        layers=len(layers),
        width=config.hidden_size,
        mlp=config.intermediate_size,
        queries=head_dim * config.num_attention_heads,
        keys=head_dim * config.num_key_value_heads,
        heads=config.num_attention_heads,
        vocabulary=config.vocab_size,
        tied=config.tie_word_embeddings,
    )


def heaviest_load(rows: TokenRows, train: TrainConfig, hardware: HardwareConfig) -> Load:
    """The most tokens that a process passes at a time, by the packing of the first global batches."""
    plan = Plan(rows.lengths, rows.responses, train, rows.problems)
    groups = hardware.processes // hardware.context_parallel
    steps = min(plan.total_steps, plan.steps_per_epoch, SAMPLED_STEPS)
    passes = [plan.micro_batches(batch, 0, groups) for batch in islice(plan.batches(), steps)]
    parts = [part for step in passes for part in step]
    return Load(
        tokens=max(int(rows.lengths[part].sum()) for part in parts) // hardware.context_parallel,
        labels=max(int(rows.responses[part].sum()) for part in parts) // hardware.context_parallel,
        longest=int(rows.lengths[plan.rows].max()),
        several=max(map(len, passes)) > 1,
    )


def forecast(shape: Shape, load: Load, train: TrainConfig, hardware: HardwareConfig) -> Forecast:
    """What a training of this shape needs of each device of `hardware`, and of its machine."""
    half, sharded = hardware.precision == "bf16", hardware.strategy in SHARDED
    c, shards = 2 if half else 4, hardware.processes if sharded else 1
    trained = shape.adapters * train.lora.rank if train.lora else shape.parameters
    outer, layer = shape.parameters - shape.linear, shape.linear // shape.layers
    frozen = 0
    if train.lora is not None:
        # nf4: 4 bits, and of each block of 64 a scale in 8 bits
        linear = int(shape.linear * (0.5 + 1 / 64)) if train.lora.quantize == "nf4" else c * shape.linear
        frozen = linear + c * outer
    weights = 4 * trained + frozen
    # A sharded layer is whole while it is used, the next one comes meanwhile; what is in no layer stays.
    whole = c * (outer + 2 * layer) if sharded else 0
    copies = 2 * shape.linear if half and not sharded and not train.lora else 0  # autocast's
    once_more = shape.vocabulary * shape.width if shape.tied and not train.lora else 0  # as head, as input
    buckets = trained if hardware.strategy == "ddp" else 0
    kept, working = activations(shape, load, train, hardware)
    away = hardware.cpu_offload and hardware.device == "cuda"  # a CPU's processes share the memory it goes to
    offloaded = (weights + 12 * trained) // hardware.nodes if away else 0
    loading = weights * (1 if hardware.strategy == "fsdp2" else hardware.processes // hardware.nodes)
    here = 0 if away else 1
    return Forecast(
        weights=here * weights // shards + whole + copies,
        optimizer=here * 8 * trained // shards,
        gradients=4 * (here * trained // shards + buckets + once_more + (2 * layer if sharded else 0)),
        activations=kept,
        working=working,
        host=max(offloaded, loading) if hardware.device == "cuda" else 0,
        load=load,
    )


def activations(shape: Shape, load: Load, train: TrainConfig, hardware: HardwareConfig) -> tuple[int, int]:
    """Bytes kept for the backward pass, and the most that comes and goes beside them."""
    half = hardware.precision == "bf16"
    c, inputs = 2 if half else 4, 5 if half and hardware.strategy not in SHARDED else 2
    seen = hardware.context_parallel  # keys and values are those of the whole sequence
    norms = shape.width * (2 * (4 if train.lora else 8) + inputs * c)
    attention = c * (3 * shape.queries + 2 * seen * shape.keys) + 4 * shape.heads
    layer = load.tokens * (norms + attention + 4 * c * shape.mlp)
    passing = load.tokens * (3 * c * shape.mlp + 8 * shape.width)
    logits = 4 * load.labels * shape.vocabulary
    head = 0 if train.lora else 4 * shape.vocabulary * shape.width  # its gradient, not yet added up
    if logits > LOGITS_BYTES:  # by chunks, whose gradients are added up
        logits, head = LOGITS_BYTES, 2 * head
    if train.gradient_checkpointing:
        kept = 4 * load.tokens * shape.width * shape.layers
        return kept, max(3 * logits + head, layer + passing)
    return layer * shape.layers, max(3 * logits + head, passing)


def size(count: int) -> str:
    """Bytes for people: 12.3 GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
