"""What a trial is, known before anything heavy is imported: its key and its labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from limo_ablate.artifacts import content_key, plain
from limo_ablate.config import TrialConfig

WHEREVER = ("name", "nodes", "hosts", "remote")
"""Keys of the hardware that change no result; beside GPUs its threads change none either."""
WHENEVER = ("checkpoint_seconds", "checkpoint_steps")
"""Keys of the training that change none."""

REPORTING = ("report",)
"""Keys of the evaluation that change none."""


@dataclass(frozen=True, slots=True)
class TrialLabels:
    """What the trial is called; nothing of it changes the result."""

    study: str | None
    cell: dict[str, object]
    """The overrides that make this cell, key -> value."""
    name: str


def trial_key(config: TrialConfig) -> str:
    """Hash of everything in the configuration that decides the result.

    At `select.size=0` that is the base model and its evaluation: the untuned base is one trial for all cells.
    """
    return trial_keys([config])[0]


def trial_keys(configs: Sequence[TrialConfig]) -> list[str]:
    """The key of each; sections that configurations share (the same objects) are hashed once."""
    digests: dict[tuple[int, tuple[str, ...]], str] = {}

    def digest(section: Any, without: tuple[str, ...] = ()) -> str:
        if (place := (id(section), without)) not in digests:
            content = {key: value for key, value in plain(section).items() if key not in without}
            digests[place] = content_key("section", 1, content)
        return digests[place]

    return [content_key("trial", 2, _content(config, digest)) for config in configs]


def _content(config: TrialConfig, digest: Callable[..., str]) -> dict[str, Any]:
    hardware = (*WHEREVER, "threads") if config.hardware.device == "cuda" else WHEREVER
    content = {
        "model": digest(config.model),
        "eval": digest(config.eval, REPORTING),
        "hardware": digest(config.hardware, hardware),
        "seed": config.seed,
    }
    trains = config.select.size != 0 or config.model.source == "scratch"
    if trains:
        content |= {
            "data": digest(config.data),
            "select": digest(config.select),
            "train": digest(config.train, WHENEVER),
        }
    elif config.select.contamination.policy == "report":
        # the clean benchmark items are those that the pool has not
        content |= {"data": digest(config.data), "contamination": digest(config.select.contamination)}
    return content
