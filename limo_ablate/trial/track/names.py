"""The flat names of a run's factors and scores, as W&B's panels need them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
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
"""Keys that a trial's metrics name as factors (`limo_ablate.trial.run.factors`)."""


def flat(key: str) -> str:
    """`train_size` for `select.size`, `model_name` for `model`, `train_learning_rate` for the others.

    A group is no `model` there: in a W&B sweep that name is locked to what was asked for.
    """
    return NAMES.get(key) or (key.replace(".", "_") if "." in key else f"{key}_name")


def levels(resolved: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Flat name -> level in a resolved configuration; a group's level is its name."""
    return {flat(key): _level(resolved, key) for key in keys}


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Those that can be a place on an axis."""
    return {k: v for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def _level(resolved: Mapping[str, Any], key: str) -> Any:
    """None where the configuration has no such key."""
    node: Any = resolved
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node["name"] if isinstance(node, Mapping) and "name" in node else node


def logged(metric: str) -> str:
    """`eval/mini/pass_at_4` for `eval/mini/pass@4`.

    W&B sorts and filters by names of letters, digits and _ (its docs, "Metric naming constraints"; / makes
    sections), and draws a metric with a dot in its name over steps, whatever x it should have
    (wandb/wandb#6659).
    """
    return re.sub(r"[^A-Za-z0-9_/]", "_", metric.replace("@", "_at_"))
