"""What a trial is, known before anything heavy is imported: its key and its labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from limo_ablate.artifacts import content_key
from limo_ablate.config import TrialConfig


@dataclass(frozen=True, slots=True)
class TrialLabels:
    """What the trial is called; nothing of it changes the result."""

    study: str | None
    cell: dict[str, object]
    """The overrides that make this cell, key -> value."""
    name: str


def trial_key(config: TrialConfig) -> str:
    """Hash of everything in the configuration that decides the result."""
    content = {k: v for k, v in asdict(config).items() if k not in ("track", "launch", "paths")}
    content["hardware"] = {k: v for k, v in content["hardware"].items() if k not in ("name", "threads")}
    return content_key("trial", 1, content)
