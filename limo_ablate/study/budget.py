"""The spending budget that a study declares; `sweep/budget_guard.py` keeps to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from limo_ablate.core.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Caps on what a study may use; null: no cap."""

    gpu_hours: float | None = None
    """GPU-hours of all its trials, failed attempts included; trials on a CPU count the hours of their
    cores."""
    hours: float | None = None
    """Wall time in which trials of the study run, in all its runners; breaks between runs don't count."""

    def __str__(self) -> str:
        """`10 GPU-hours and 2 hours`"""
        caps = (("GPU-hours", self.gpu_hours), ("hours", self.hours))
        return " and ".join(f"{cap:g} {unit}" for unit, cap in caps if cap is not None)

    def __post_init__(self) -> None:
        for key in (field.name for field in fields(self)):
            cap = getattr(self, key)
            if cap is not None and not (math.isfinite(cap) and cap > 0):
                raise UserError(f"budget.{key}={cap:g}: must be a positive number, or null for no cap")
