"""A model's shape from its configuration alone, before anything is downloaded; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.model.config import ModelConfig, ShapeConfig
from limo_ablate.model.train.memory import Shape
from limo_ablate.model.train.model_config import known_folder, read_model_json

HUB_KEYS = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "intermediate": "intermediate_size",
    "vocabulary": "vocab_size",
    "tied": "tie_word_embeddings",
}
"""Key of `ShapeConfig` -> key of config.json."""
MINIATURE_VOCABULARY = 159
"""Size of the miniature's vocabulary."""


def shape_config(model: ModelConfig) -> ShapeConfig | None:
    """The shape that the configuration states or implies, or that the model's config.json has, if it is on
    this machine; None for a hub model without `shape`, and where config.json lacks one of the numbers."""
    if model.architecture is None:
        return model.shape or _folder_shape(known_folder(model))
    own = model.architecture
    vocabulary = None if model.source == "miniature" else own.vocab_size
    return ShapeConfig(
        layers=own.layers,
        hidden=own.width,
        heads=own.heads,
        kv_heads=own.heads,
        intermediate=3 * own.width,
        vocabulary=vocabulary or MINIATURE_VOCABULARY,
        tied=True,
    )


def _folder_shape(folder: Path | None) -> ShapeConfig | None:
    if folder is None or not (folder / "config.json").is_file():
        return None
    try:
        real = read_model_json(folder / "config.json")
        if {*HUB_KEYS.values()} <= real.keys():
            return ShapeConfig(**{key: real[name] for key, name in HUB_KEYS.items()})
        values = _as_transformers_reads_it(folder)
        return ShapeConfig(**({"kv_heads": values["heads"], "tied": False} | values))
    except (UserError, OSError, KeyError):
        return None


def _as_transformers_reads_it(folder: Path) -> dict[str, Any]:
    """The numbers of a config.json with other names, or that leaves out what its class has by default."""
    from limo_ablate.model.train.model_config import model_config

    config = model_config(folder).get_text_config()
    named = {key: getattr(config, name, None) for key, name in HUB_KEYS.items()}
    named["intermediate"] = (
        named["intermediate"] or getattr(config, "ffn_dim", None) or 4 * config.hidden_size
    )
    return {key: value for key, value in named.items() if value is not None}


def declared_shape(model: ModelConfig, targets: tuple[str, ...] = ()) -> Shape:
    """What `memory.model_shape` would return: a Qwen2, with biases on queries, keys and values.

    Raises UserError if `shape_config` is None.
    """
    if (config := shape_config(model)) is None:
        raise UserError(
            f"model.shape is missing for model={model.name}; take the numbers from its config.json"
        )
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
    """Raises UserError if `model.shape` differs from the model's config.json."""
    if model.shape is None:
        return
    real = read_model_json(folder / "config.json")
    for key, name in HUB_KEYS.items():
        if name in real and real[name] != getattr(model.shape, key):
            raise UserError(
                f"model.shape.{key}={getattr(model.shape, key)}: {model.path} has {name}={real[name]}; "
                "correct it, or set model.shape=null"
            )


def tied_message(where: str, names: Iterable[str]) -> str:
    return (
        f"{where}: {', '.join(names)}: this model's embedding and LM head share their weights, of which an "
        "adapter would change one in training and both once it is merged; adapt other modules"
    )
