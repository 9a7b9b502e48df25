"""The flat names of a run's factors and scores, as W&B's panels require."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NAMES = {
    "select.size": "train_size",
    "select.difficulty": "difficulty",
    "select.quality": "quality_tier",
    "select.order": "order",
    "select.correctness": "correctness",
    "select.teacher": "teacher",
    "select.perturb": "perturb",
    "seed": "seed",
}
"""Configuration key -> name of the factor in a trial's metrics (`limo_ablate.trial.run.factors`)."""


def flat(key: str) -> str:
    """`train_size` for `select.size`, `model_name` for `model`, `train_learning_rate` for the others.

    A group such as `model` gets another name, since in a W&B sweep its own name is locked to the override.
    """
    return NAMES.get(key) or (key.replace(".", "_") if "." in key else f"{key}_name")


def levels(resolved: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Flat name -> level of each key in a resolved configuration; the level of a group is its name."""
    return {flat(key): _level(resolved, key) for key in keys}


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The values that are numbers, and can be positions on an axis."""
    return {k: v for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def _level(resolved: Mapping[str, Any], key: str) -> Any:
    """Level of `key`, or None if the configuration does not have it."""
    node: Any = resolved
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node["name"] if isinstance(node, Mapping) and "name" in node else node


def logged(metric: str) -> str:
    """`eval/mini/pass_at_4` for `eval/mini/pass@4`.

    W&B can sort and filter only by names of letters, digits and _ (its docs, "Metric naming constraints"; /
    makes sections), and plots a metric with a dot in its name over steps, whatever x is configured
    (wandb/wandb#6659).
    """
    return re.sub(r"[^A-Za-z0-9_/]", "_", metric.replace("@", "_at_"))


def own_tags(tags: str | Sequence[str] | None) -> list[str]:
    """`track.tags` as a list, each tag once."""
    listed = tags.split(",") if isinstance(tags, str) else tags or ()
    return list(dict.fromkeys(tag.strip() for tag in listed if tag.strip()))
