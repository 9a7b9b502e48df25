"""Forecast of a trial's cost: arithmetic (`work`), corrected from the times of finished trials.

    costs = Costs()
    costs.learn(ledger.rows(), trials, folder)
    costs.seconds(trial)

Training and decoding are corrected separately, by Bayesian linear regression: the logarithm of (time / prior)
is the sum of a constant and of terms for device, model, size, tier, difficulty and the order of the rows,
each with a normal prior around 0. So a level that has been seen changes its own forecast, one that has not
changes nothing, and the spread says how certain the forecast is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limo_ablate.analysis.results import read_metrics
from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig, device_count
from limo_ablate.model.config import ModelConfig
from limo_ablate.study.budget import Use
from limo_ablate.sweep.plan.work import StageSeconds, prior
from limo_ablate.trial.config import TrialConfig

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from limo_ablate.model.train.memory import Shape
    from limo_ablate.study.planned import PlannedTrial

CONSTANT, TERM, NOISE = 1.1, 0.4, 0.25
"""Prior standard deviations of the constant (arithmetic is right to a factor of 3), of a term, of a trial."""
MAX_TRIALS = 200
"""Most finished trials to learn from, evenly chosen."""
MIN_SECONDS = 0.05
"""A stage that took less was found in the store, and says nothing about its cost."""


@dataclass(frozen=True, slots=True)
class FinishedTrial:
    """Seconds that a finished trial took, by part."""

    config: TrialConfig
    took: StageSeconds


@dataclass(frozen=True, slots=True)
class Forecast:
    seconds: float
    hardware: HardwareConfig
    spread: float
    """Standard deviation of the logarithm: with probability 2/3, the truth is within a factor of e^spread."""

    @property
    def devices(self) -> int:
        return device_count(self.hardware)

    @property
    def use(self) -> Use:
        return Use.of(self.hardware, self.seconds)


class Costs:
    def __init__(self) -> None:
        self._corrections = {"train": Correction(), "generate": Correction(), "rest": Correction()}
        self._forecasts: dict[tuple[str, ...], Forecast] = {}
        self.learnt = 0
        """Number of finished trials that it has learnt from."""

    def learn(self, rows: Iterable[FrozenTrial], trials: Iterable[PlannedTrial], study: Path) -> None:
        """Learns from the finished trials among a ledger's rows; what was learnt before is dropped. `study`:
        the study's folder."""
        self.fit(finished_trials(rows, trials, study))

    def fit(self, trials: Sequence[FinishedTrial]) -> None:
        seen = [(terms(trial.config), trial.took, _prior(trial.config)) for trial in trials]
        self.learnt = len(seen)
        self._forecasts.clear()
        for part, correction in self._corrections.items():
            both = [(named, getattr(took, part), getattr(before, part)) for named, took, before in seen]
            correction.fit(
                [(n, math.log(took / before)) for n, took, before in both if took > MIN_SECONDS < before]
            )

    def forecast(self, config: TrialConfig) -> Forecast:
        before, named = _prior(config), terms(config)
        total, variance = 0.0, 0.0
        for part, correction in self._corrections.items():
            mean, spread = correction(named)
            seconds = getattr(before, part) * math.exp(mean)
            total += seconds
            variance += (seconds * spread) ** 2
        return Forecast(total, config.hardware, math.sqrt(variance) / total)

    def forecast_of(self, trial: PlannedTrial) -> Forecast:
        """The forecast, which is the same for all seeds."""
        cell = tuple(text for text in trial.overrides if not text.startswith("seed="))
        if cell not in self._forecasts:
            self._forecasts[cell] = self.forecast(trial.config)
        return self._forecasts[cell]

    def seconds(self, trial: PlannedTrial) -> float:
        return self.forecast_of(trial).seconds


def finished_trials(
    rows: Iterable[FrozenTrial], trials: Iterable[PlannedTrial], study: Path
) -> list[FinishedTrial]:
    """The finished ones of `trials`, from metrics.json in their folders.

    The folder that a row names is not read: it is of the machine that ran it, or of anyone's making.
    """
    by_id = {trial.id: trial for trial in trials}
    keys = [row.user_attrs["key"] for row in rows if row.state.name == "COMPLETE"]
    done = [by_id[key] for key in keys if key in by_id]
    found = []
    for trial in done[:: -(-len(done) // MAX_TRIALS) or 1]:
        with suppress(OSError, UserError):  # it can't be read
            if metrics := read_metrics(study / "trials" / trial.folder, trial.key):
                found.append(FinishedTrial(trial.config, _took(metrics)))
    return found


def _took(metrics: dict[str, Any]) -> StageSeconds:
    train, generate = (metrics.get("seconds", {}).get(stage, 0.0) for stage in ("weights", "completions"))
    return StageSeconds(train, generate, metrics["total_seconds"] - train - generate)


class Correction:
    """Mean and spread of log(time / prior), given the terms of a trial."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._mean: Any = None
        self._cov: Any = None
        self._noise = NOISE**2

    def fit(self, rows: list[tuple[tuple[str, ...], float]]) -> None:
        self._places = {
            name: i for i, name in enumerate(dict.fromkeys(n for names, _ in rows for n in names))
        }
        if not rows:
            return
        import numpy as np

        x = np.zeros((len(rows), len(self._places) + 1))
        x[:, -1] = 1
        for row, (names, _) in zip(x, rows, strict=True):
            row[[self._places[name] for name in names]] = 1
        y = np.array([value for _, value in rows])
        precision = np.diag([TERM**-2] * len(self._places) + [CONSTANT**-2])
        for _ in range(5):  # estimates the noise from the residuals; NOISE weighs as much as one trial
            self._cov = np.linalg.inv(x.T @ x / self._noise + precision)
            self._mean = self._cov @ x.T @ y / self._noise
            freedom = len(rows) - float(np.trace(self._cov @ (x.T @ x))) / self._noise
            squares = float(((y - x @ self._mean) ** 2).sum())
            self._noise = (squares + NOISE**2) / (max(0.0, freedom) + 1)

    def __call__(self, names: tuple[str, ...]) -> tuple[float, float]:
        if not self._places:
            return 0.0, math.sqrt(CONSTANT**2 + len(names) * TERM**2 + self._noise)
        known = [self._places[name] for name in names if name in self._places] + [len(self._places)]
        variance = (
            float(self._cov[known][:, known].sum()) + TERM**2 * (len(names) + 1 - len(known)) + self._noise
        )
        return float(self._mean[known].sum()), math.sqrt(variance)


def terms(config: TrialConfig) -> tuple[str, ...]:
    """What may make a trial longer or shorter than the prior says."""
    select, hardware = config.select, config.hardware
    trained = (
        f"size {select.size}", f"tier {select.quality}", f"difficulty {select.difficulty}",
        f"order {select.order}",
    )  # fmt: skip
    own = ("untuned",) if select.size == 0 else trained
    return (f"on {hardware.device} by {hardware.strategy}", f"model {config.model.name}", *own)


def _prior(config: TrialConfig) -> StageSeconds:
    return prior(config, shape_of(config.model))


@cache
def shape_of(model: ModelConfig) -> Shape | None:
    """A model's shape, if it is known without loading or downloading the model."""
    from limo_ablate.model.train.shapes import declared_shape, shape_config

    return None if shape_config(model) is None else declared_shape(model)
