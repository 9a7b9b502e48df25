"""The spending budget of a study, and what counts against it; `sweep/budget_guard.py` keeps to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig, device_count


@dataclass(frozen=True, slots=True)
class Use:
    """What trials use of a budget."""

    device_seconds: float = 0.0
    money: float = 0.0

    def __add__(self, other: Use) -> Use:
        return Use(self.device_seconds + other.device_seconds, self.money + other.money)

    @classmethod
    def of(cls, hardware: HardwareConfig, seconds: float) -> Use:
        """A trial that runs for so long; without a price it costs nothing."""
        return cls.of_devices(hardware.price, seconds * device_count(hardware))

    @classmethod
    def of_devices(cls, price: float | None, device_seconds: float) -> Use:
        return cls(device_seconds, (price or 0.0) * device_seconds / 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Caps on what a study may use; null: no cap."""

    gpu_hours: float | None = None
    """GPU-hours of all its trials, failed attempts included; trials on a CPU count the hours of their
    cores."""
    hours: float | None = None
    """Wall time in which trials of the study run, in all its runners; breaks between runs don't count."""
    money: float | None = None
    """What all its trials may cost at their `hardware.price`, failed attempts included."""

    def __str__(self) -> str:
        """`10 GPU-hours and 2 hours and a cost of 50`"""
        caps = (
            ("{:g} GPU-hours", self.gpu_hours),
            ("{:g} hours", self.hours),
            ("a cost of {:g}", self.money),
        )
        return " and ".join(text.format(cap) for text, cap in caps if cap is not None)

    def __post_init__(self) -> None:
        for key in (field.name for field in fields(self)):
            cap = getattr(self, key)
            if cap is not None and not (math.isfinite(cap) and cap > 0):
                raise UserError(f"budget.{key}={cap:g}: must be a positive number, or null for no cap")

    def allows(self, use: Use, seconds: float) -> bool:
        """Whether the study may come to have used so much, `seconds` of them on the wall clock."""
        return (
            (self.gpu_hours is None or use.device_seconds <= self.gpu_hours * 3600)
            and (self.money is None or use.money <= self.money)
            and (self.hours is None or seconds <= self.hours * 3600)
        )
