"""Forecasts the device memory that a training needs, before any weight is read.

Per process, after Korthikanti et al. 2022 (section 4.1), for a dense decoder with SwiGLU, grouped-query
attention and an attention kernel that keeps no scores. `h` is the width, `i` the MLP's, `q` and `kv` the
widths of all query heads and of all key-value heads, `c` the bytes of the forward pass's type. The residual
stream and the norms stay float32 under mixed precision. A layer keeps for each token

    h (2 (4 + 4) + 2 c)      per norm: its input, the normalised input, the input of the projections
    c (3 q + 2 kv) + 4 heads queries, keys, values, output of each row, output of all rows; log-sum-exp
    4 c i                    gate, its SiLU, up, their product

With gradient checkpointing it keeps only its input, 4 h, while one layer at a time keeps everything. Frozen
norms (LoRA) do not keep the normalised input; autocast gives each of the five projections a copy of its
input. AdamW needs 8 bytes for each float32 weight.
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
"""Bytes of float32 logits that exist at once; softmax and gradients need about three times as much more."""
SAMPLED_STEPS = 64
"""Number of global batches that are packed to find the largest forward pass."""


@dataclass(frozen=True, slots=True)
class Load:
    """The largest forward pass of a process."""

    tokens: int
    labels: int
    """Tokens with a loss."""
    longest: int
    """Tokens of the longest row, the smallest possible pass."""
    several: bool
    """Whether a step has several passes, so that gradients and activations exist at the same time."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Peak bytes by part; of one process, except for `host`."""

    weights: int
    optimizer: int
    gradients: int
    activations: int
    working: int
    """Temporary memory besides the activations: the logits and their gradients, or those of a layer."""
    host: int
    """Main memory of the machine, for all processes of a training on GPUs."""
    load: Load

    @property
    def total(self) -> int:
        """If a step has one pass, gradients appear as activations are freed: the larger of them counts."""
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
    """Numbers of parameters and widths of a model, on which its memory depends."""

    parameters: int
    """Number of parameters, tied ones counted once."""
    linear: int
    """Number of parameters in the layers' linear maps, which are nearly all of a layer."""
    adapters: int
    """Number of LoRA's parameters at rank 1."""
    layers: int
    width: int
    mlp: int
    queries: int
    keys: int
    heads: int
    vocabulary: int
    tied: bool


class NoForecast(Exception):
    """A model of an architecture whose memory is not forecast."""


@lru_cache(maxsize=8)
def model_shape(folder: str, targets: tuple[str, ...] = ()) -> Shape:
    """The shape of the model in `folder`, built on the meta device without weights; takes milliseconds.

    Raises NoForecast for an architecture with other modules or names.
    """
    from limo_ablate.model.train.model_config import meta_model, model_config

    config = model_config(folder)
    model = meta_model(folder, config)
    try:
        return _shape(model, config.get_text_config(), targets)
    except AttributeError as error:
        raise NoForecast(f"no forecast for this architecture ({config.model_type})") from error


def _shape(model: Any, config: Any, targets: tuple[str, ...]) -> Shape:
    import torch

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
    """The largest forward pass of a process, from packing the first global batches."""
    plan = Plan(rows.lengths, rows.responses, train, rows.problems)
    groups = hardware.processes // hardware.context_parallel
    steps = min(plan.total_steps, plan.steps_per_epoch, SAMPLED_STEPS)
    passes = [plan.passes(batch, groups) for batch in islice(plan.batches(), steps)]
    parts = [part for step in passes for ranks in step for part in ranks]
    return Load(
        tokens=max(int(rows.lengths[part].sum()) for part in parts) // hardware.context_parallel,
        labels=max(int(rows.responses[part].sum()) for part in parts) // hardware.context_parallel,
        longest=int(rows.lengths[plan.rows].max()),
        several=max(map(len, passes)) > 1,
    )


def forecast(shape: Shape, load: Load, train: TrainConfig, hardware: HardwareConfig) -> Forecast:
    """Memory that a training of this shape needs on each device of `hardware`, and on its machine."""
    half, sharded = hardware.precision == "bf16", hardware.strategy in SHARDED
    c, shards = 2 if half else 4, hardware.processes if sharded else 1
    trained = shape.adapters * train.lora.rank if train.lora else shape.parameters
    outer, layer = shape.parameters - shape.linear, shape.linear // shape.layers
    frozen = 0
    if train.lora is not None:
        # nf4: 4 bits, and an 8-bit scale for each block of 64
        linear = int(shape.linear * (0.5 + 1 / 64)) if train.lora.quantize == "nf4" else c * shape.linear
        frozen = linear + c * outer
    weights = 4 * trained + frozen
    # A sharded layer is whole while it is used, and so is the next, prefetched one; the root always is.
    whole = c * (outer + 2 * layer) if sharded else 0
    copies = 2 * shape.linear if half and not sharded and not train.lora else 0  # by autocast
    tied_gradient = (
        shape.vocabulary * shape.width if shape.tied and not train.lora else 0
    )  # once as head, once as embedding
    buckets = trained if hardware.strategy == "ddp" else 0
    kept, working = activations(shape, load, train, hardware)
    offload = (
        hardware.cpu_offload and hardware.device == "cuda"
    )  # on a CPU it is offloaded to the same memory
    offloaded = (weights + 12 * trained) // hardware.nodes if offload else 0
    loading = weights * (1 if hardware.strategy == "fsdp2" else hardware.processes // hardware.nodes)
    on_device = 0 if offload else 1
    return Forecast(
        weights=on_device * weights // shards + whole + copies,
        optimizer=on_device * 8 * trained // shards,
        gradients=4
        * (on_device * trained // shards + buckets + tied_gradient + (2 * layer if sharded else 0)),
        activations=kept,
        working=working,
        host=max(offloaded, loading) if hardware.device == "cuda" else 0,
        load=load,
    )


def activations(shape: Shape, load: Load, train: TrainConfig, hardware: HardwareConfig) -> tuple[int, int]:
    """Bytes kept for the backward pass, and the peak of temporary memory in addition."""
    half = hardware.precision == "bf16"
    c, inputs = 2 if half else 4, 5 if half and hardware.strategy not in SHARDED else 2
    sequence = hardware.context_parallel  # keys and values of the whole sequence
    norms = shape.width * (2 * (4 if train.lora else 8) + inputs * c)
    attention = c * (3 * shape.queries + 2 * sequence * shape.keys) + 4 * shape.heads
    layer = load.tokens * (norms + attention + 4 * c * shape.mlp)
    passing = load.tokens * (3 * c * shape.mlp + 8 * shape.width)
    logits = 4 * load.labels * shape.vocabulary
    head = 0 if train.lora else 4 * shape.vocabulary * shape.width  # its gradient, before it is added up
    if logits > LOGITS_BYTES:  # in chunks, whose gradients are added up
        logits, head = LOGITS_BYTES, 2 * head
    if train.gradient_checkpointing:
        kept = 4 * load.tokens * shape.width * shape.layers
        return kept, max(3 * logits + head, layer + passing)
    return layer * shape.layers, max(3 * logits + head, passing)


def size(count: int) -> str:
    """Human-readable bytes, such as 12.3 GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
