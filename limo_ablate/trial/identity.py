"""What a trial is, known before anything heavy is imported: its key and its labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from limo_ablate.core.artifacts import content_key, json_default
from limo_ablate.core.typed import installed
from limo_ablate.trial.config import TrialConfig

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

    def digest(section: Any, without: tuple[str, ...]) -> str:
        if (place := (id(section), without)) not in digests:
            content = {key: value for key, value in json_default(section).items() if key not in without}
            digests[place] = content_key("section", 1, content | installed(section))
        return digests[place]

    return [
        content_key(
            "trial",
            2,
            {name: digest(*section) for name, section in deciding(config).items()} | {"seed": config.seed},
        )
        for config in configs
    ]


def deciding(config: TrialConfig) -> dict[str, tuple[Any, tuple[str, ...]]]:
    """What decides the result: a section by its name, and which of its keys don't count; beside the seed."""
    hardware = (*WHEREVER, "threads") if config.hardware.device == "cuda" else WHEREVER
    found: dict[str, tuple[Any, tuple[str, ...]]] = {
        "model": (config.model, ()),
        "eval": (config.eval, REPORTING),
        "hardware": (config.hardware, hardware),
    }
    trains = config.select.size != 0 or config.model.source == "scratch"
    if trains:
        found |= {"data": (config.data, ()), "select": (config.select, ()), "train": (config.train, WHENEVER)}
    elif config.select.contamination.policy == "report":
        # the clean benchmark items are those that the pool has not
        found |= {"data": (config.data, ()), "contamination": (config.select.contamination, ())}
    return found
