"""Configuration of experiment tracking."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from limo_ablate.core.errors import UserError
from limo_ablate.core.registry import Entry, Registry

TRACKERS: Registry[Any] = Registry(
    "tracker",
    {
        "wandb": Entry("limo_ablate.trial.track.run:open_run", "Weights & Biases, offline by default"),
        "none": Entry("limo_ablate.trial.track.tracker:open_none", "no tracking"),
    },
    group="limo_ablate.trackers",
)
"""What follows a trial; each opens a `limo_ablate.trial.track.tracker.Tracker`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackConfig:
    kind: Annotated[str, TRACKERS]
    project: str = "limo-ablate"
    entity: str | None = None
    mode: Literal["offline", "online", "disabled"] = "offline"
    options: dict[str, Any] = field(default_factory=dict)
    """Settings of a tracker that another package adds, which reads them."""
    patience_seconds: float = 120
    """A finished trial waits for its uploads so long; the rest is on disk, for `limo-ablate wandb-sync`."""

    def __post_init__(self) -> None:
        if self.options and self.kind in TRACKERS.builtin:
            raise UserError(f"track.options={self.options}: track.kind={self.kind} has no options")
        if self.patience_seconds <= 0:
            raise UserError(f"track.patience_seconds={self.patience_seconds:g} must be positive")
