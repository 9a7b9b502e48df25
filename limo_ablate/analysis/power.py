"""Statistical power of a contrast before it is run: the minimum detectable effect.

The accuracies of two arms are compared on the same n problems after R trainings (seeds), each the mean of P
points of the block's other axes, with K completions of each problem in a trial. With

    w²   variance over problems of the true difference between the arms
    s²   variance of one completion of one problem, in one arm
    t²   variance between trainings of an arm's accuracy, beyond what single problems explain

the difference has the variance w²/n + (s_A² + s_B²)/KPRn + 2 t²/PR (Miller 2024, 2411.00640, section 5, whose
formula is that of R = P = 1 without t²). R bases with the same S seeds each (`crossed`) are RS trainings;
t² may belong to either, so it is assigned to the less numerous. The difference is detected if it exceeds the
half width of the interval that `crossed` will give, which itself varies from study to study; `POWER` is the
share of studies in which it does. With one seed, t² can't be separated from an effect: the interval omits it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from limo_ablate.analysis.crossed import chi_squared, crossed, freedom, half_width, spreads
from limo_ablate.study.contrast import Contrast

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "ALPHA",
    "POWER",
    "Contrast",
    "Noise",
    "equivalence_power",
    "minimum_detectable_effect",
    "pilot_noise",
]

ALPHA, POWER = 0.05, 0.8
STUDIES, MIXTURE = 128, 512
"""Number of simulated studies, and of components of the interval's mixture in each."""
MOST_ANSWERS = 20_000_000
"""Answers of an arm that are simulated for the power of an equivalence test."""
LIKELY = 0.8
"""Confidence level of the range of the smallest effect that pilot trials give."""
PRIOR_FREEDOM = 2.0
"""Degrees of freedom that the assumed t² has beside that of pilot trials."""
HALVINGS = 60
"""Number of bisections of the bracket in which the effect is searched."""
SINGLE, DIFFERENT, TRAINED = 0.55, 0.10, 0.06
"""Assumptions without pilot trials: s² and w² as shares of p(1-p), t as a share of its root. The first two
give a minimum of 27, 15, 10 points at 1, 4, 16 samples on AIME24 (p = 0.6), 3, 1.7, 1.1 on MATH500 (0.95);
t is a guess."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Variances: w² (difference), s² of each arm (completion), t² (training)."""

    difference: float
    completion: float
    training: float
    freedom: float = math.inf
    """Degrees of freedom of the estimate of t²; infinite where it is given."""
    rest: float = 0.0
    """What single problems add to the variance between trainings from which t² is estimated."""

    @classmethod
    def prior(cls, accuracy: float) -> Noise:
        spread = accuracy * (1 - accuracy)
        return cls(DIFFERENT * spread, SINGLE * spread, TRAINED**2 * spread)

    def likely(self, level: float = LIKELY) -> tuple[Noise, Noise]:
        """The noise with t² at the ends of its confidence interval at `level`: few trials hardly show it."""
        from scipy.stats import chi2

        if math.isinf(self.freedom):
            return self, self
        between = (self.training + self.rest) * self.freedom
        ends = (between / chi2.ppf(q, self.freedom) - self.rest for q in ((1 + level) / 2, (1 - level) / 2))
        low, high = (replace(self, training=max(0.0, end)) for end in ends)
        return low, high


def minimum_detectable_effect(
    noise: Noise,
    problems: int,
    samples: float,
    seeds: int,
    *,
    trainings: int = 1,
    points: int = 1,
    contrasts: int = 1,
    alpha: float = ALPHA,
) -> float:
    """Difference of accuracy detected with `POWER`; `contrasts` share `alpha`. Above 1, no effect is
    detectable.

    `trainings`: number of seeds crossed with an axis of replicates; `seeds` is then its number of levels.
    """
    from scipy.special import ndtr, stdtrit

    if problems < 2:
        return math.inf
    few, many = _counts(seeds, trainings)
    training_part = 2 * noise.training / points
    rest = 2 * noise.completion / (samples * points)
    squares = [rest + many * problems * training_part, rest + few * many * noise.difference, rest, rest, rest]
    sums = np.array(squares)[:, None] * chi_squared(tuple(freedom(few, problems, many)), STUDIES, seed=1)
    level = 1 - alpha / contrasts
    item_errors = np.sqrt(sums[1] / (problems - 1) / (few * many * problems))
    half = np.maximum(
        half_width(spreads(sums, few, problems, many, MIXTURE), level),
        stdtrit(problems - 1, (1 + level) / 2) * item_errors,
    )
    error = math.sqrt(training_part / few + noise.difference / problems + rest / (few * many * problems))
    low, high = 0.0, 1e3 * error
    for _ in range(HALVINGS):
        effect = (low + high) / 2
        detected = np.mean(ndtr((effect - half) / error) + ndtr((-effect - half) / error)) if error else 1.0
        low, high = (low, effect) if detected >= POWER else (effect, high)
    return high


def equivalence_power(
    noise: Noise,
    accuracy: float,
    problems: int,
    samples: float,
    seeds: int,
    margin: float,
    *,
    weights: Sequence[float] = (-1.0, 1.0),
    trainings: int = 1,
    points: int = 1,
    contrasts: int = 1,
    alpha: float = ALPHA,
) -> float:
    """Share of studies without a difference in which the equivalence test at `margin` finds none.

    `weights`: of the arms, in the effect; the rest as for `minimum_detectable_effect`. Answers are simulated,
    and not only their means: near an `accuracy` of 0 or 1, few answers are right (or wrong) and show little.
    """
    from scipy.special import expit, logit

    spread = accuracy * (1 - accuracy)
    if problems < 2 or not spread:
        return 0.0
    few, many = _counts(seeds, trainings)
    studies = int(np.clip(MOST_ANSWERS // (few * many * problems), 32, STUDIES))
    single = min(max(SINGLE * spread, noise.completion), 0.95 * spread)
    answers = max(1, round(single * samples * points / max(noise.completion, 1e-3 * single)))
    shape, alike = single / (spread - single), max(2 * single / max(noise.difference, 1e-6) - 1, 0.1)
    rng, least = np.random.default_rng(0), 1e-3
    level = rng.beta(accuracy * shape, (1 - accuracy) * shape, (studies, 1, 1, problems))
    values, shown = np.zeros((studies, few, many, problems)), np.zeros((len(weights), studies))
    for place, weight in enumerate(weights):
        own = rng.beta(np.maximum(level * alike, least), np.maximum((1 - level) * alike, least))
        trained = rng.normal(0, math.sqrt(noise.training / points) / single, (studies, few, 1, 1))
        right = rng.binomial(answers, expit(logit(np.clip(own, 1e-9, 1 - 1e-9)) + trained), values.shape)
        values += weight * right / answers
        shown[place] = right.mean(axis=(1, 2, 3)) / answers
    bounds = sum(min(weight, 0.0) for weight in weights), sum(max(weight, 0.0) for weight in weights)
    informative = ~((shown == 0).all(axis=0) | (shown == 1).all(axis=0))
    found = crossed(values, bounds=bounds).p_equivalent(margin) < alpha / contrasts
    return float((found & informative).mean())


def _counts(seeds: int, trainings: int) -> tuple[int, int]:
    """(fewer, more) of two kinds of replicates; with one of a kind its variance is unknown, so it is last."""
    few, many = sorted((seeds, trainings), key=lambda count: (count == 1, count))
    return few, many


def pilot_noise(accuracies: pl.DataFrame) -> Noise | None:
    """Noise estimated from the trials of one or more arms; None if no arm has two trials.

    `accuracies` has a row for each arm, trial and problem: arm, trial, problem, accuracy (mean over samples).
    s² is here that of a trial's mean over its samples, so use it with samples=1. Two-way random effects in
    each arm (trials x problems), pooled over the arms by degrees of freedom; t² also with what is assumed
    without pilots, at `PRIOR_FREEDOM`: two trials of an arm may by chance differ by nothing.
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
    if not float(arms["rest"].sum()):  # no variation, as in trials that solve nothing
        return None
    repeated = float((arms["r"] - 1).sum())
    completion = float(arms["rest"].sum()) / float(((arms["r"] - 1) * (arms["n"] - 1)).sum())
    problems = float((arms["n"] * (arms["r"] - 1)).sum()) / repeated
    between = float((arms["trials"] / arms["n"]).sum()) / repeated
    rest, level = completion / problems, float(cell["accuracy"].mean())  # type: ignore[arg-type]
    freedom = repeated + PRIOR_FREEDOM
    between = (repeated * between + PRIOR_FREEDOM * (Noise.prior(level).training + rest)) / freedom
    return Noise(_differences(cell, completion), completion, max(0.0, between - rest), freedom, rest)


def _differences(cell: pl.DataFrame, completion: float) -> float:
    """w², half of it from each arm: variance over problems of an arm's effect beyond its mean."""
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
