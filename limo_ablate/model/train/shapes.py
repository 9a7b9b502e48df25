"""A model's shape from its configuration alone, before anything of it has been downloaded; no torch."""

from __future__ import annotations

import json
from pathlib import Path

from limo_ablate.core.errors import UserError
from limo_ablate.model.config import ModelConfig, ShapeConfig
from limo_ablate.model.train.memory import Shape

HUB_KEYS = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "intermediate": "intermediate_size",
    "vocabulary": "vocab_size",
    "tied": "tie_word_embeddings",
}
"""Keys of a shape, as config.json has them."""
MINIATURE_WORDS = 159
"""Tokens of the miniature's tokenizer."""


def shape_config(model: ModelConfig) -> ShapeConfig | None:
    """What is known of a model without it; None for a hub model without `shape`."""
    if model.architecture is None:
        return model.shape
    made, words = model.architecture, MINIATURE_WORDS if model.source == "miniature" else None
    return ShapeConfig(
        layers=made.layers,
        hidden=made.width,
        heads=made.heads,
        kv_heads=made.heads,
        intermediate=3 * made.width,
        vocabulary=words or made.vocab_size or MINIATURE_WORDS,
        tied=True,
    )


def declared_shape(model: ModelConfig, targets: tuple[str, ...] = ()) -> Shape:
    """What `memory.model_shape` would read off it: Qwen2, with biases on queries, keys and values.

    Raises UserError where `shape_config` knows nothing.
    """
    if (config := shape_config(model)) is None:
        raise UserError(f"model.shape: not given for model={model.name}; its config.json has the numbers")
    head_dim = model.architecture.head_dim if model.architecture else config.hidden // config.heads
    h, i, queries, keys = (
        config.hidden,
        config.intermediate,
        head_dim * config.heads,
        head_dim * config.kv_heads,
    )
    linear = {
        "q_proj": (h, queries), "k_proj": (h, keys), "v_proj": (h, keys), "o_proj": (queries, h),
        "gate_proj": (h, i), "up_proj": (h, i), "down_proj": (i, h),
    }  # fmt: skip
    weights = config.layers * sum(rows * columns for rows, columns in linear.values())
    other = config.layers * (2 * h + queries + 2 * keys) + h
    embeddings = config.vocabulary * h * (1 if config.tied else 2)
    adapters = sum(rows + columns for name, (rows, columns) in linear.items() if name in targets)
    return Shape(
        parameters=weights + other + embeddings,
        linear=weights,
        adapters=config.layers * adapters,
        layers=config.layers,
        width=h,
        mlp=i,
        queries=queries,
        keys=keys,
        heads=config.heads,
        vocabulary=config.vocabulary,
        tied=config.tied,
    )


def check_shape(model: ModelConfig, folder: Path) -> None:
    """Raises UserError where `model.shape` is not what the model's config.json says."""
    if model.shape is None:
        return
    real = json.loads((folder / "config.json").read_text())
    for key, name in HUB_KEYS.items():
        if name in real and real[name] != getattr(model.shape, key):
            raise UserError(
                f"model.shape.{key}={getattr(model.shape, key)}: {model.path} has {name}={real[name]}; "
                "write that, or set model.shape=null"
            )
