"""What a trial will cost: arithmetic (`work`), corrected by what finished trials took.

    costs = Costs()
    costs.learn(ledger.rows(), trials)
    costs.seconds(trial)

Training and decoding are corrected apart. The logarithm of (what it took / prior) is a sum of a constant and
of terms for device, model, size, tier, difficulty and the order of the rows, all normal around 0 beforehand:
Bayesian linear regression, so that a level that has been seen moves its own forecast, one that has not been
moves nothing, and the spread says how sure it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limo_ablate.core.hardware import device_count
from limo_ablate.model.config import ModelConfig
from limo_ablate.sweep.plan.work import Parts, prior
from limo_ablate.trial.config import TrialConfig

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from limo_ablate.model.train.memory import Shape
    from limo_ablate.study.planned import PlannedTrial

CONSTANT, TERM, NOISE = 1.1, 0.4, 0.25
"""Standard deviations beforehand: of the constant (the prior is good to a factor of 3), a term, a trial."""
MOST = 200
"""Finished trials that are learnt from, evenly chosen."""
FOUND = 0.05
"""Seconds: a stage that took less was found in the store, and teaches nothing."""


@dataclass(frozen=True, slots=True)
class Past:
    """What a finished trial took, in seconds by part."""

    config: TrialConfig
    took: Parts


@dataclass(frozen=True, slots=True)
class Price:
    seconds: float
    devices: int
    spread: float
    """Standard deviation of the logarithm: two times of three the truth is within a factor of e^spread."""

    @property
    def device_seconds(self) -> float:
        return self.seconds * self.devices


class Costs:
    def __init__(self) -> None:
        self._corrections = {"train": Correction(), "generate": Correction(), "rest": Correction()}
        self._prices: dict[tuple[str, ...], Price] = {}
        self.learnt = 0
        """Finished trials it has seen."""

    def learn(self, rows: Iterable[FrozenTrial], trials: Iterable[PlannedTrial]) -> None:
        """Takes in the finished trials among a ledger's rows; what was learnt before is dropped."""
        self.fit(past(rows, trials))

    def fit(self, trials: Sequence[Past]) -> None:
        seen = [(terms(trial.config), trial.took, _prior(trial.config)) for trial in trials]
        self.learnt = len(seen)
        self._prices.clear()
        for part, correction in self._corrections.items():
            both = [(named, getattr(took, part), getattr(before, part)) for named, took, before in seen]
            correction.fit(
                [(n, math.log(took / before)) for n, took, before in both if took > FOUND < before]
            )

    def price(self, config: TrialConfig) -> Price:
        before, named = _prior(config), terms(config)
        total, variance = 0.0, 0.0
        for part, correction in self._corrections.items():
            mean, spread = correction(named)
            seconds = getattr(before, part) * math.exp(mean)
            total += seconds
            variance += (seconds * spread) ** 2
        return Price(total, device_count(config.hardware), math.sqrt(variance) / total)

    def price_of(self, trial: PlannedTrial) -> Price:
        """The same for all seeds."""
        asked = tuple(text for text in trial.overrides if not text.startswith("seed="))
        if asked not in self._prices:
            self._prices[asked] = self.price(trial.config)
        return self._prices[asked]

    def seconds(self, trial: PlannedTrial) -> float:
        return self.price_of(trial).seconds


def past(rows: Iterable[FrozenTrial], trials: Iterable[PlannedTrial]) -> list[Past]:
    """What the finished trials of `trials` took, by the metrics.json in the folders that the rows name."""
    configs = {trial.id: trial.config for trial in trials}
    done = [
        row.user_attrs for row in rows if row.state.name == "COMPLETE" and row.user_attrs["key"] in configs
    ]
    found = []
    for attributes in done[:: -(-len(done) // MOST) or 1]:
        with suppress(OSError, ValueError, KeyError):  # tidied away, or of an earlier form: nothing is learnt
            metrics = json.loads((Path(attributes["result"]["folder"]) / "metrics.json").read_text())
            found.append(Past(configs[attributes["key"]], _took(metrics)))
    return found


def _took(metrics: dict[str, Any]) -> Parts:
    train, generate = (metrics["seconds"].get(stage, 0.0) for stage in ("weights", "completions"))
    return Parts(train, generate, metrics["total_seconds"] - train - generate)


class Correction:
    """Mean and spread of log(took / prior), given the terms of a trial."""

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
        for _ in range(5):  # the noise by its own residuals, with a trial's worth of belief in NOISE
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
    """What may make a trial's parts longer or shorter than the prior has them."""
    select, hardware = config.select, config.hardware
    trained = (
        f"size {select.size}", f"tier {select.quality}", f"difficulty {select.difficulty}",
        f"order {select.order}",
    )  # fmt: skip
    own = ("untuned",) if select.size == 0 else trained
    return (f"on {hardware.device} by {hardware.strategy}", f"model {config.model.name}", *own)


def _prior(config: TrialConfig) -> Parts:
    return prior(config, shape_of(config.model))


def shape_of(model: ModelConfig) -> Shape | None:
    """A model's shape as far as it is known without the model."""
    from limo_ablate.model.train.shapes import shape_config

    return None if shape_config(model) is None else _declared(model)


@cache
def _declared(model: ModelConfig) -> Shape:
    from limo_ablate.model.train.shapes import declared_shape

    return declared_shape(model)
