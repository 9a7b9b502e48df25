"""What a trial is, known before anything heavy is imported: its key and its labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from limo_ablate.artifacts import content_key
from limo_ablate.config import TrialConfig

WHEREVER = ("name", "nodes", "hosts", "remote")
"""Keys of the hardware that change no result; beside GPUs its threads change none either."""
WHENEVER = ("checkpoint_seconds", "checkpoint_steps")
"""Keys of the training that change none."""


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
    left_out = {"track", "launch", "paths"}
    if config.select.size == 0 and config.model.source != "scratch":
        left_out |= {"data", "select", "train"}
    everything = asdict(config)
    content = {k: v for k, v in everything.items() if k not in left_out}
    if config.select.contamination.policy == "report" and "select" in left_out:
        # the clean benchmark items are those that the pool has not
        content |= {"data": everything["data"], "contamination": everything["select"]["contamination"]}
    if "train" in content:
        content["train"] = {k: v for k, v in content["train"].items() if k not in WHENEVER}
    without = {*WHEREVER, "threads"} if config.hardware.device == "cuda" else {*WHEREVER}
    content["hardware"] = {k: v for k, v in content["hardware"].items() if k not in without}
    return content_key("trial", 1, content)
