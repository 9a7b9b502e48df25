"""What a study may spend, as a contract: no trial starts that is forecast to end beyond the cap.

    Spending(Budget(gpu_hours=10), spent=3600.0, forecast=costs.seconds).allows(trial, running)

The rule. Trials are taken in the queue's order. One starts only if what is spent, what the running trials are
forecast to take (at least what they have used) and its own forecast stay within the cap together. One that
does not fit is passed over and asked for again whenever a trial has ended; smaller ones after it may start
meanwhile. When nothing runs and nothing fits, the study ends, and what was not run is listed.

A trial that takes longer than its forecast is not ended, so the cap is overrun by no more than what the
running trials were forecast too low.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import device_count

if TYPE_CHECKING:
    from limo_ablate.study.planned import PlannedTrial


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Caps of a study; null: none."""

    gpu_hours: float | None = None
    """Of all its trials, failed attempts included; those on a CPU count the hours of their cores."""
    hours: float | None = None
    """Wall time in which trials of the study run, by all its runners; breaks between runs don't count."""

    def __post_init__(self) -> None:
        for key in (field.name for field in fields(self)):
            cap = getattr(self, key)
            if cap is not None and not (math.isfinite(cap) and cap > 0):
                raise UserError(f"budget.{key}={cap:g}: must be a positive number, or null for no cap")


class Spending:
    def __init__(
        self,
        budget: Budget | None,
        spent: float,
        forecast: Callable[[PlannedTrial], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`spent`: device-seconds the study has used so far; `forecast`: seconds a trial will take."""
        self._budget, self._forecast, self._clock = budget or Budget(), forecast, clock
        self.know(spent, 0.0)

    def know(self, spent: float, ran: float) -> None:
        """What the study has used by now: device-seconds, and seconds in which any of its trials ran."""
        self._spent, self._ran, self._known = spent, ran, self._clock()

    def charge(self, trial: PlannedTrial, seconds: float) -> None:
        """An attempt of `trial` has ended after `seconds`, however it ended."""
        self._spent += seconds * device_count(trial.config.hardware)

    def allows(self, trial: PlannedTrial, running: Iterable[tuple[PlannedTrial, float]]) -> bool:
        """Whether `trial` may start beside `running`: trials, each with the seconds it has run."""
        seconds = self._forecast(trial)
        ran = self._ran + self._clock() - self._known
        if self._budget.hours is not None and ran + seconds > self._budget.hours * 3600:
            return False
        if self._budget.gpu_hours is None:
            return True
        reserved = sum(
            max(used, self._forecast(other)) * device_count(other.config.hardware) for other, used in running
        )
        own = seconds * device_count(trial.config.hardware)
        return self._spent + reserved + own <= self._budget.gpu_hours * 3600
