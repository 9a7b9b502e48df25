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

Trainings that are themselves crossed (each base with each seed, which draws the subset for all bases alike)
have three parts, base + seed + what is left of the two: then MS_bases + MS_seeds - MS_left takes the place of
MS_trainings. Where seeds have nothing in common across bases, that is the nested layout, a little too wide.
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
SIGNS = (1, 1, -1, 1, -1)
"""Of the mean squares in the variance of the mean: trainings (or bases), problems, what these leave, and with
crossed trainings seeds, and what bases and seeds leave."""
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
    """Or bases, of crossed trainings."""
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
    """`values` (E, R, n): E layouts of R trainings on n problems, n at least 2; or (E, R, S, n): of R bases,
    each with the same S seeds.

    `clusters` (n,) says which problems belong together (a contest, a source), numbered from 0; they are then
    what is drawn. Without, each problem stands alone.
    """
    grouped = values if clusters is None else by_cluster(values, clusters)
    layouts = grouped if grouped.ndim == 4 else grouped[:, :, None]
    _, r, s, n = layouts.shape
    mean = layouts.mean(axis=(1, 2, 3))
    sums = _squares(layouts, mean)
    free = freedom(r, n, s)[:, None]
    parts = (free > 0) * sums / (np.maximum(free, 1) * r * s * n)
    of_base, single, both, of_seed, left = parts
    trained = np.maximum(of_base + of_seed - left, np.maximum(of_base, of_seed))
    return Crossed(
        mean=mean,
        seed_error=np.sqrt(trained) if r * s > 1 else np.full(len(mean), np.nan),
        item_error=np.sqrt(single),
        stderr=np.sqrt(np.maximum(trained + single - both, np.maximum(trained, single))),
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
    left = trainings - bases[:, :, None] - seeds[:, None, :] + centre
    rest = layouts - trainings[..., None] - columns[:, None, None] + centre[..., None]
    return np.stack([
        s * n * ((bases - mean[:, None]) ** 2).sum(axis=1),
        r * s * ((columns - mean[:, None]) ** 2).sum(axis=1),
        (rest**2).sum(axis=(1, 2, 3)),
        r * n * ((seeds - mean[:, None]) ** 2).sum(axis=1),
        n * (left**2).sum(axis=(1, 2)),
    ])  # fmt: skip


def freedom(r: int, n: int, s: int = 1) -> Array:
    """(5,) degrees of freedom, in the order of `SIGNS`; 0 of what is not known."""
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
