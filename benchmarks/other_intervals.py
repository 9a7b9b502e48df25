"""95 % intervals of a mean over trainings x problems as others compute them, for calibration.py."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]
Interval = tuple[Array, Array]
OTHERS = ("t over seeds", "Miller 2024", "s1's bootstrap", "REML")
RESAMPLES = 1000


def other_intervals(rng: np.random.Generator, values: Array) -> dict[str, Interval]:
    """(low, high) by the names of `OTHERS`, of (studies, R, n) `values`; t over seeds needs two of them."""
    r, n = values.shape[1:]
    mean, by_problem, by_seed = values.mean(axis=(1, 2)), values.mean(axis=1), values.mean(axis=2)
    found = {
        "Miller 2024": _around(mean, 1.96 * by_problem.std(axis=1, ddof=1) / np.sqrt(n)),
        "s1's bootstrap": _bootstrap(rng, by_problem),
        "REML": _around(mean, reml(values)),
    }
    if r > 1:
        error = by_seed.std(axis=1, ddof=1) / np.sqrt(r)
        found["t over seeds"] = _around(mean, stats.t.ppf(0.975, r - 1) * error)
    return found


def reml(values: Array) -> Array:
    """Half widths by the linear mixed model of `values` with problems and seeds random and crossed, REML and
    Satterthwaite's degrees of freedom; of differences of two arms, the model whose fixed effect is the arm
    and in which problems and seeds differ in it.

    The layout is balanced, so the estimates are known in closed form, also where a variance is 0: the
    expected mean squares of seeds and of problems are at least the residual's, and REML pools those that are
    smaller with it (isotonic regression over a tree; Thompson 1962). A part that is 0 leaves the model.
    """
    _, r, n = values.shape
    mean = values.mean(axis=(1, 2), keepdims=True)
    by_seed, by_problem = values.mean(axis=2, keepdims=True), values.mean(axis=1, keepdims=True)
    problems = (r * (by_problem - mean) ** 2).sum(axis=(1, 2))
    if r == 1:
        return np.asarray(stats.t.ppf(0.975, n - 1) * np.sqrt(problems / (n - 1) / n))
    seeds = (n * (by_seed - mean) ** 2).sum(axis=(1, 2))
    rest = ((values - by_seed - by_problem + mean) ** 2).sum(axis=(1, 2))
    free = np.array([r - 1, n - 1, (r - 1) * (n - 1)], dtype=float)
    variance, degrees = np.array(
        [_pooled(np.array(sums), free) for sums in zip(seeds, problems, rest, strict=True)]
    ).T
    return np.asarray(stats.t.ppf(0.975, degrees) * np.sqrt(variance / (r * n)))


def _pooled(sums: Array, free: Array) -> tuple[float, float]:
    """(variance of the mean times R n, its degrees of freedom), of the sums of squares of seeds, problems and
    their residual."""
    residual, freedom, kept = sums[2], free[2], []
    for place in sorted((0, 1), key=lambda place: sums[place] / free[place]):
        if sums[place] / free[place] < residual / freedom:
            residual, freedom = residual + sums[place], freedom + free[place]
        else:
            kept.append(place)
    if not kept:
        return residual / freedom, freedom
    if len(kept) == 1:
        return sums[kept[0]] / free[kept[0]], free[kept[0]]
    squares = sums / free
    variance = squares[0] + squares[1] - squares[2]
    return variance, variance**2 / (squares**2 / free).sum() if variance else 1.0


def _around(mean: Array, half: Array) -> Interval:
    return mean - half, mean + half


def _bootstrap(rng: np.random.Generator, by_problem: Array) -> Interval:
    """Percentiles of the mean over resampled problems (s1: 2501.19393)."""
    n = by_problem.shape[1]
    weights = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
    low, high = np.quantile(weights @ by_problem.T, [0.025, 0.975], axis=0)
    return low, high
