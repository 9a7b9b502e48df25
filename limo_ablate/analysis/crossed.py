"""Means over trainings x problems with confidence intervals: the inference used for cells and contrasts.

Every training (seed) answers the same problems, so the layout is crossed. With y_rj the accuracy (or a
difference of accuracies) of training r on problem j, y_rj = mu + training_r + problem_j + rest_rj, all
random: inference is to other trainings and to other problems of the same kind. The variance of the mean is
(MS_trainings + MS_problems - MS_rest) / Rn (two-way random effects; Miller 2024, 2411.00640, treats problems
only). The mean squares have few degrees of freedom, R - 1 above all, so the interval is that of the
generalised pivotal quantity (Weerahandi 1993; Hannig, Iyer and Patterson 2006): each sum of squares is
divided by a chi-squared variable with its degrees of freedom, the mean is normal given that variance, and
the interval holds `level` of the mixture. With one training it is exactly Student's t over problems.
benchmarks/calibration.py measures its coverage.

Trainings may themselves be crossed (each base with each seed, and a seed draws the same subset for all
bases). They then have three parts, base + seed + residual of the two, and MS_bases + MS_seeds - MS_residual
takes the place of MS_trainings. If seeds have nothing in common across bases, this is the nested layout, with
a slightly wide interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
POINTS = 2048
"""Components of the mixture: a fixed Latin hypercube, so that equal data gives equal intervals."""
SIGNS = (1, 1, -1, 1, -1)
"""Signs of the mean squares in the variance of the mean: trainings (or bases), problems, their residual; for
crossed trainings also seeds, and the residual of bases and seeds."""
PRECISE = {"xatol": 0.0, "xrtol": 1e-12, "fatol": 0.0, "frtol": 0.0}
"""Tolerances for a quantile of the mixture."""


@dataclass(frozen=True, slots=True)
class Crossed:
    """Means of E layouts and their errors: arrays of shape (E,)."""

    mean: Array
    seed_error: Array
    """Standard error of the mean over trainings; NaN with one of them."""
    item_error: Array
    """Standard error of the mean over problems (or their clusters)."""
    stderr: Array
    """Standard error over both, sqrt(seed_error² + item_error² - rest²), and at least the larger of the
    two."""
    spread: Array
    """(E, POINTS) standard deviations of the mixture's components."""
    trainings: int
    """Number of trainings; for crossed trainings, of bases."""
    problems: int

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        half = self.half_width(level)
        return self.mean - half, self.mean + half

    def half_width(self, level: float) -> Array:
        """Half of the interval's width: a larger difference is significant at 1 - `level`."""
        return half_width(self.spread, level)

    def p_value(self, null: float = 0.0) -> Array:
        """Two-sided p-values of the mean being `null`; 1 where nothing varies and the mean is `null`."""
        return self._beyond(np.abs(self.mean - null))

    def p_equivalent(self, margin: float) -> Array:
        """p-values of the equivalence test, two one-sided tests against `margin` (Schuirmann 1987)."""
        return self._beyond(margin - np.abs(self.mean), sides=1)

    def _beyond(self, distance: Array, sides: int = 2) -> Array:
        return sides * _tail(distance, self.spread)


def half_width(spread: Array, level: float) -> Array:
    """(E,) half widths of the intervals of mixtures with standard deviations `spread` (E, components)."""
    from scipy.optimize.elementwise import find_root
    from scipy.special import ndtri

    widest = spread.max(axis=1)
    varied = np.flatnonzero(widest > 0)
    half = np.zeros(len(spread))
    if len(varied):
        furthest = 1.001 * float(ndtri((1 + level) / 2)) * widest[varied]
        roots = find_root(
            lambda x, place: 2 * _tail(x, spread[place]) - (1 - level),
            (np.zeros(len(varied)), furthest), args=(varied,), tolerances=PRECISE,
        )  # fmt: skip
        half[varied] = roots.x
    return half


def _tail(distance: Array, spread: Array) -> Array:
    """Probability that a mixture centred at 0 lies above `distance` (E,)."""
    from scipy.special import ndtr

    return np.asarray(ndtr(-distance[:, None] / np.maximum(spread, 1e-75)).mean(axis=1))


def crossed(values: Array, clusters: npt.NDArray[np.int64] | None = None) -> Crossed:
    """Estimates for E layouts of R trainings on n problems (n at least 2), `values` (E, R, n); or of R bases
    with the same S seeds each, (E, R, S, n).

    `clusters` (n,) numbers each problem's cluster (a contest, a source) from 0; clusters are then the random
    units instead of problems.
    """
    grouped = values if clusters is None else by_cluster(values, clusters)
    layouts = grouped if grouped.ndim == 4 else grouped[:, :, None]
    _, r, s, n = layouts.shape
    mean = layouts.mean(axis=(1, 2, 3))
    sums = _squares(layouts, mean)
    free = freedom(r, n, s)[:, None]
    parts = (free > 0) * sums / (np.maximum(free, 1) * r * s * n)
    base_part, problem_part, rest_part, seed_part, residual_part = parts
    training_part = np.maximum(base_part + seed_part - residual_part, np.maximum(base_part, seed_part))
    return Crossed(
        mean=mean,
        seed_error=np.sqrt(training_part) if r * s > 1 else np.full(len(mean), np.nan),
        item_error=np.sqrt(problem_part),
        stderr=np.sqrt(
            np.maximum(training_part + problem_part - rest_part, np.maximum(training_part, problem_part))
        ),
        spread=spreads(sums, r, n, s),
        trainings=r,
        problems=values.shape[-1],
    )


def _squares(layouts: Array, mean: Array) -> Array:
    """(5, E) sums of squares of (E, R, S, n) layouts, in the order of `SIGNS`."""
    _, r, s, n = layouts.shape
    trainings, columns = layouts.mean(axis=3), layouts.mean(axis=(1, 2))
    bases, seeds = trainings.mean(axis=2), trainings.mean(axis=1)
    centre = mean[:, None, None]
    residual = trainings - bases[:, :, None] - seeds[:, None, :] + centre
    rest = layouts - trainings[..., None] - columns[:, None, None] + centre[..., None]
    return np.stack([
        s * n * ((bases - mean[:, None]) ** 2).sum(axis=1),
        r * s * ((columns - mean[:, None]) ** 2).sum(axis=1),
        (rest**2).sum(axis=(1, 2, 3)),
        r * n * ((seeds - mean[:, None]) ** 2).sum(axis=1),
        n * (residual**2).sum(axis=(1, 2)),
    ])  # fmt: skip


def freedom(r: int, n: int, s: int = 1) -> Array:
    """(5,) degrees of freedom, in the order of `SIGNS`; 0 where a mean square can't be estimated."""
    return np.array([r - 1, n - 1, (r * s - 1) * (n - 1), s - 1, (r - 1) * (s - 1)], dtype=float)


def spreads(sums: Array, r: int, n: int, s: int = 1, points: int = POINTS) -> Array:
    """(E, points) standard deviations of the mean, from the (5, E) sums of squares."""
    known = np.flatnonzero(freedom(r, n, s))
    chi = chi_squared(r, n, s, points)
    variance = sum(SIGNS[k] * (sums[k][:, None] / chi[k]) for k in known)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0) / (r * s * n)))


@cache
def chi_squared(r: int, n: int, s: int, points: int, seed: int = 0) -> Array:
    """(5, points) chi-squared values with the degrees of freedom of each sum of squares (at least 1)."""
    from scipy.special import chdtri

    rng = np.random.default_rng(seed)
    strata = np.stack([rng.permutation(points) for _ in SIGNS])
    return np.asarray(chdtri(np.maximum(freedom(r, n, s), 1)[:, None], (strata + 0.5) / points))


def by_cluster(values: Array, clusters: npt.NDArray[np.int64]) -> Array:
    """(E, ..., G): each cluster's share of the mean, so that the mean over clusters is that over problems."""
    groups, n = int(clusters.max()) + 1, values.shape[-1]
    mean = values.mean(axis=tuple(range(1, values.ndim)), keepdims=True)
    member: Any = np.zeros((n, groups))
    member[np.arange(n), clusters] = groups / n
    return np.asarray((values - mean) @ member + mean)
