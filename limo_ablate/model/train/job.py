"""A training with all its inputs, as it is handed to every process that takes part."""

from __future__ import annotations

from dataclasses import dataclass

from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train.base import Reference
from limo_ablate.model.train.config import TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    tokens: str
    """Folder of the `tokens` artifact."""
    model: str
    """Folder of the base model."""
    reference: Reference
    train: TrainConfig
    hardware: HardwareConfig
    at: tuple[int, ...] = ()
    """Steps before the last one after which weights are kept too."""
    folder: str
    """Folder for the model, its curve and its checkpoints."""
