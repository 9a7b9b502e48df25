"""Configuration of experiment tracking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from limo_ablate.core.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackConfig:
    kind: Literal["wandb", "none"]
    project: str = "limo-ablate"
    entity: str | None = None
    mode: Literal["offline", "online", "disabled"] = "offline"
    patience_seconds: float = 120
    """A finished trial waits for its uploads so long; the rest is on disk, for `limo-ablate wandb-sync`."""

    def __post_init__(self) -> None:
        if self.patience_seconds <= 0:
            raise UserError(f"track.patience_seconds={self.patience_seconds:g} must be positive")
