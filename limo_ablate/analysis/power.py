"""What a contrast can see, before it is paid for: the minimum detectable effect.

The accuracies of two arms are compared on the same n problems after R trainings (seeds), each the mean of P
points of the block's other axes, with K completions of each problem in a trial. With

    w²   variance over problems of the true difference between the arms
    s²   variance of one completion of one problem, in one arm
    t²   variance between trainings of an arm's accuracy, beyond what single problems explain

the difference has the variance w²/n + (s_A² + s_B²)/KPRn + 2 t²/PR (Miller 2024, 2411.00640, section 5, whose
formula is that of R = P = 1 without t²). R bases with the same S seeds each (`crossed`) are RS trainings;
t² may be of either, so it is put where there are fewer of them. The difference is seen where it exceeds half
of the interval that `crossed` will give, which itself varies from study to study; `POWER` is the share of
studies in which it does. With one seed nothing could tell t² from an effect: the interval leaves it out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limo_ablate.analysis.crossed import chi_squared, half_width, spreads
from limo_ablate.study.contrast import Contrast

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ALPHA", "POWER", "Contrast", "Noise", "minimum_detectable_effect", "pilot_noise"]

ALPHA, POWER = 0.05, 0.8
STUDIES, MIXTURE = 128, 512
"""Studies that are imagined, and components of the interval's mixture in each."""
HALVINGS = 60
"""Of the bracket in which the effect is searched."""
SINGLE, DIFFERENT, TRAINED = 0.55, 0.10, 0.06
"""Before there are pilot trials: s² and w² as shares of p(1-p), t of its root. The first two give a minimum
of 27, 15, 10 points at 1, 4, 16 samples on AIME24 (p = 0.6), 3, 1.7, 1.1 on MATH500 (0.95); t is guessed."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Variances: w², s² of each arm, t²."""

    difference: float
    completion: float
    training: float

    @classmethod
    def prior(cls, accuracy: float) -> Noise:
        spread = accuracy * (1 - accuracy)
        return cls(DIFFERENT * spread, SINGLE * spread, TRAINED**2 * spread)


def minimum_detectable_effect(
    noise: Noise,
    problems: int,
    samples: int,
    seeds: int,
    *,
    trainings: int = 1,
    points: int = 1,
    contrasts: int = 1,
    alpha: float = ALPHA,
) -> float:
    """Difference of accuracy seen with `POWER`; `contrasts` share `alpha`. Above 1, nothing can be.

    `trainings`: seeds crossed with what is drawn anew, which `seeds` then counts.
    """
    from scipy.special import ndtr

    if problems < 2:
        return math.inf
    few, many = sorted((seeds, trainings), key=lambda count: (count == 1, count))  # 1 tells nothing of t²
    trained = 2 * noise.training / points
    rest = 2 * noise.completion / (samples * points)
    squares = [rest + many * problems * trained, rest + few * many * noise.difference, rest, rest, rest]
    sums = np.array(squares)[:, None] * chi_squared(few, problems, many, STUDIES, seed=1)
    half = half_width(spreads(sums, few, problems, many, MIXTURE), 1 - alpha / contrasts)
    error = math.sqrt(trained / few + noise.difference / problems + rest / (few * many * problems))
    low, high = 0.0, 1e3 * error
    for _ in range(HALVINGS):
        effect = (low + high) / 2
        seen = np.mean(ndtr((effect - half) / error) + ndtr((-effect - half) / error)) if error else 1.0
        low, high = (low, effect) if seen >= POWER else (effect, high)
    return high


def pilot_noise(accuracies: pl.DataFrame) -> Noise | None:
    """The noise seen in trials of one arm or several; None with fewer than two trials of any arm.

    `accuracies` has a row for each arm, trial and problem: arm, trial, problem, accuracy (mean over samples).
    s² is here that of a trial's mean over its samples, so it goes with samples=1. Two-way random effects
    in each arm (trials x problems), pooled over the arms by their degrees of freedom.
    """
    import polars as pl

    cell = accuracies.with_columns(
        centre=pl.col("accuracy").mean().over("arm"),
        of_trial=pl.col("accuracy").mean().over("arm", "trial"),
        of_problem=pl.col("accuracy").mean().over("arm", "problem"),
    )
    arms = cell.group_by("arm").agg(
        n=pl.col("problem").n_unique(),
        r=pl.col("trial").n_unique(),
        trials=((pl.col("of_trial") - pl.col("centre")) ** 2).sum(),
        rest=((pl.col("accuracy") - pl.col("of_trial") - pl.col("of_problem") + pl.col("centre")) ** 2).sum(),
    )
    arms = arms.filter((pl.col("r") > 1) & (pl.col("n") > 1))
    if arms.is_empty():
        return None
    if not float(arms["rest"].sum()):  # all alike, as trials that solve nothing are: that is no knowledge
        return None
    repeated = float((arms["r"] - 1).sum())
    completion = float(arms["rest"].sum()) / float(((arms["r"] - 1) * (arms["n"] - 1)).sum())
    problems = float((arms["n"] * (arms["r"] - 1)).sum()) / repeated
    between = float((arms["trials"] / arms["n"]).sum()) / repeated
    return Noise(_differences(cell, completion), completion, max(0.0, between - completion / problems))


def _differences(cell: pl.DataFrame, completion: float) -> float:
    """w², half of it from each arm: variance over problems of what an arm does to them beyond its mean."""
    import polars as pl

    means = cell.group_by("arm", "problem").agg(
        pl.col("of_problem").first(), pl.col("centre").first(), r=pl.col("trial").n_unique()
    )
    if means["arm"].n_unique() < 2:
        return DIFFERENT / SINGLE * completion
    own = means.with_columns(effect=pl.col("of_problem") - pl.col("centre"))
    own = own.with_columns(effect=pl.col("effect") - pl.col("effect").mean().over("problem"))
    arms = means["arm"].n_unique()
    spread = float((own["effect"] ** 2).sum()) / (len(own) - own["problem"].n_unique())
    noise = completion * float((1 / means["r"]).mean())  # type: ignore[arg-type]
    return 2 * max(0.0, spread - noise) if arms > 1 else 0.0
