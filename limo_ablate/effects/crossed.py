"""The mean of trainings x problems, and how sure it is: the one inference that cells and contrasts share.

Every training (seed) answers the same problems, so the layout is crossed. With y_rj the accuracy (or a
difference of accuracies) of training r on problem j, y_rj = mu + training_r + problem_j + rest_rj, all
random: the claim is about other trainings and other problems of the same kind. The variance of the mean is
(MS_trainings + MS_problems - MS_rest) / Rn (two-way random effects; Miller 2024, 2411.00640, has problems
alone). Its three parts are known with few degrees of freedom, R - 1 above all, so the interval is that of the
generalised pivotal quantity (Weerahandi 1993; Hannig, Iyer and Patterson 2006): each sum of squares is
divided by a chi-squared variable of its degrees of freedom, the mean is normal given that variance, and the
interval holds `level` of the mixture. With one training it is Student's t over problems, exactly. How often
it covers: benchmarks/calibration.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
POINTS = 2048
"""Of the mixture: a Latin hypercube, always the same one, so that the same data gives the same interval."""
PRECISE = {"xatol": 0.0, "xrtol": 1e-12, "fatol": 0.0, "frtol": 0.0}
"""Of a quantile of the mixture."""


@dataclass(frozen=True, slots=True)
class Crossed:
    """Means of E layouts: arrays of shape (E,)."""

    mean: Array
    seed_error: Array
    """Standard error of the mean over trainings; NaN with one of them."""
    item_error: Array
    """Standard error of the mean over problems (or their clusters)."""
    stderr: Array
    """Both, sqrt(seed_error² + item_error² - rest²): the noise in both counts once. At least either."""
    spread: Array
    """(E, POINTS) standard deviations, the mixture's components."""
    trainings: int
    problems: int

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        half = self.half_width(level)
        return self.mean - half, self.mean + half

    def half_width(self, level: float) -> Array:
        """Half of the interval's width: what a difference must exceed to be seen at 1 - `level`."""
        return half_width(self.spread, level)

    def p_value(self, null: float = 0.0) -> Array:
        """Two-sided, of the mean being `null`; 1 where nothing varies and the mean is `null`."""
        return self._beyond(np.abs(self.mean - null))

    def p_equivalent(self, margin: float) -> Array:
        """Of the mean being `margin` or more away from 0: two one-sided tests (Schuirmann 1987)."""
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
        found = find_root(
            lambda x, place: 2 * _tail(x, spread[place]) - (1 - level),
            (np.zeros(len(varied)), furthest), args=(varied,), tolerances=PRECISE,
        )  # fmt: skip
        half[varied] = found.x
    return half


def _tail(distance: Array, spread: Array) -> Array:
    """Chance that a mixture around 0 lies above `distance` (E,)."""
    from scipy.special import ndtr

    return np.asarray(ndtr(-distance[:, None] / np.maximum(spread, 1e-75)).mean(axis=1))


def crossed(values: Array, clusters: npt.NDArray[np.int64] | None = None) -> Crossed:
    """`values` (E, R, n): E layouts of R trainings on n problems, n at least 2.

    `clusters` (n,) says which problems belong together (a contest, a source), numbered from 0; they are then
    what is drawn. Without, each problem stands alone.
    """
    grouped = values if clusters is None else by_cluster(values, clusters)
    _, r, n = grouped.shape
    mean = grouped.mean(axis=(1, 2))
    rows, columns = grouped.mean(axis=2), grouped.mean(axis=1)
    of_rows = n * ((rows - mean[:, None]) ** 2).sum(axis=1)
    of_columns = r * ((columns - mean[:, None]) ** 2).sum(axis=1)
    rest = grouped - rows[:, :, None] - columns[:, None, :] + mean[:, None, None]
    sums = np.stack([of_rows, of_columns, (rest**2).sum(axis=(1, 2))])
    trained, single, both = (sums / (freedom(r, n)[:, None] * r * n)) * [[r > 1], [True], [r > 1]]
    return Crossed(
        mean=mean,
        seed_error=np.sqrt(trained) if r > 1 else np.full(len(mean), np.nan),
        item_error=np.sqrt(single),
        stderr=np.sqrt(np.maximum(trained + single - both, np.maximum(trained, single))),
        spread=spreads(sums, r, n),
        trainings=r,
        problems=values.shape[2],
    )


def freedom(r: int, n: int) -> Array:
    """(3,) degrees of freedom of trainings, problems and the rest."""
    return np.array([max(r - 1, 1), n - 1, max(r - 1, 1) * (n - 1)], dtype=float)


def spreads(sums: Array, r: int, n: int, points: int = POINTS) -> Array:
    """(E, points) standard deviations of the mean, from the (3, E) sums of squares."""
    chi = chi_squared(r, n, points)
    parts = [sums[k][:, None] / chi[k] for k in range(3)] if r > 1 else [0.0, sums[1][:, None] / chi[1], 0.0]
    return np.asarray(np.sqrt(np.maximum(parts[0] + parts[1] - parts[2], 0.0) / (r * n)))


@cache
def chi_squared(r: int, n: int, points: int, seed: int = 0) -> Array:
    """(3, points) chi-squared values with the degrees of freedom of trainings, problems and the rest."""
    from scipy.special import chdtri

    rng = np.random.default_rng(seed)
    strata = np.stack([rng.permutation(points) for _ in range(3)])
    return np.asarray(chdtri(freedom(r, n)[:, None], (strata + 0.5) / points))


def by_cluster(values: Array, clusters: npt.NDArray[np.int64]) -> Array:
    """(E, R, G): each cluster's share of the mean, so that the mean over clusters is that over problems."""
    groups, n = int(clusters.max()) + 1, values.shape[2]
    mean = values.mean(axis=(1, 2), keepdims=True)
    member: Any = np.zeros((n, groups))
    member[np.arange(n), clusters] = groups / n
    return np.asarray((values - mean) @ member + mean)
