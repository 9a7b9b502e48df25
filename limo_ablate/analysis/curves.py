"""Data-efficiency curves: accuracy against the number of examples with a confidence band, and quantities
read from them.

Three forms are fitted: `power`, a - b n^-c, with a ceiling and a floor at the smallest size; `logistic` in
log n; `monotone`, isotonic regression, interpolated over log n. The form with the smallest leave-one-size-out
error is used. Nothing is extrapolated beyond the sizes that were run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from limo_ablate.analysis.crossed import SHARE, by_cluster, crossed
from limo_ablate.analysis.resample import bootstrap_weights

Array = npt.NDArray[np.float64]
Fit = Callable[[Array, Array, Array, Array], Array]
"""Maps sizes (S,), accuracies (D, S), weights (S,) and places (P,) to D curves at the places, (D, P)."""
DRAWS = 400
POINTS = 61
"""Number of points of a curve, evenly spaced over log n."""
TIED = 1e-9
"""Relative difference of two fits that is attributed to rounding."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Fitted curve of one line of a data-efficiency figure."""

    form: str
    sizes: Array
    accuracy: Array
    """Measured mean accuracies at `sizes`."""
    grid: Array
    fitted: Array
    """Fitted accuracies at `grid`."""
    draws: Array
    """(DRAWS, POINTS) curves fitted to bootstrap resamples of the accuracies."""
    held_out: dict[str, float]
    """Form -> root mean square error of each size predicted from the others."""

    def band(self, level: float = 0.95) -> tuple[Array, Array]:
        """Simultaneous band: contains the whole curve with probability `level` (largest standardised
        deviation)."""
        spread = np.maximum(self.draws.std(axis=0), 1e-9)
        furthest = np.abs((self.draws - self.draws.mean(axis=0)) / spread).max(axis=1)
        half = np.quantile(furthest, level) * spread
        return np.clip(self.fitted - half, 0, 1), np.clip(self.fitted + half, 0, 1)

    def needed(self, target: float, level: float = 0.95) -> tuple[float, float, float]:
        """(n, low, high) examples needed for an accuracy of `target`; infinite if no size that was run
        reaches it, 0 if the smallest size does.
        """
        needs = np.array([_first(self.grid, curve, target) for curve in self.draws])
        low, high = np.quantile(needs, [(1 - level) / 2, (1 + level) / 2], method="nearest")
        return _first(self.grid, self.fitted, target), float(low), float(high)

    def gain(self, size: float, more: float, level: float = 0.95) -> tuple[float, float, float]:
        """(gain, low, high) in accuracy from `size` to `size` + `more` examples, both within the sizes
        run."""
        ends = np.log([size, size + more])
        steps = [np.interp(ends, np.log(self.grid), curve) for curve in (self.fitted, *self.draws)]
        gains = np.array([after - before for before, after in steps])
        low, high = np.quantile(gains[1:], [(1 - level) / 2, (1 + level) / 2])
        return float(gains[0]), float(low), float(high)


def fit_curves(
    sizes: Array, values: Array, seed: int = 0, clusters: npt.NDArray[np.int64] | None = None
) -> list[Curve]:
    """Curves of L lines, `values` (L, sizes, trainings, problems), with `sizes` ascending. All lines share
    their bootstrap resamples, so they can be compared draw by draw. Crossed trainings and `clusters`: see
    `crossed`.
    """
    problems = values.shape[-1]
    if clusters is not None:
        values = np.stack([by_cluster(line, clusters) for line in values])
    estimates = [crossed(line, bounds=SHARE, problems=problems) for line in values]
    resampled = _resampled(values, np.stack([line.half_width(0.95) for line in estimates]), seed)
    grid = np.exp(np.linspace(np.log(sizes[0]), np.log(sizes[-1]), POINTS))
    curves = []
    for line, resamples in zip(estimates, resampled, strict=True):
        weights = 1 / np.maximum(line.stderr, 0.01) ** 2
        errors = {form: _held_out(fit, sizes, line.mean, weights) for form, fit in FORMS.items()}
        form = min(errors, key=lambda name: errors[name])
        fit = FORMS[form]
        fitted, *draws = fit(sizes, np.vstack([line.mean, resamples]), weights, grid)
        curves.append(Curve(form, sizes, line.mean, grid, fitted, np.stack(draws), errors))
    return curves


def data_equivalence(
    better: Curve, other: Curve, level: float = 0.95
) -> list[tuple[float, float, float, float]]:
    """(size, ratio, low, high) for each size of `other`: how many times as many examples it needs as `better`
    for the same accuracy. Infinite or 0 if one never reaches the other's accuracy.

    Both curves must come from one call of `fit_curves`, so that they share their resamples.
    """
    rows = []
    for size in other.sizes:
        ratios = [
            _ratio(better.grid, first, second, float(size))
            for first, second in zip(
                (better.fitted, *better.draws), (other.fitted, *other.draws), strict=True
            )
        ]
        low, high = np.quantile(ratios[1:], [(1 - level) / 2, (1 + level) / 2], method="nearest")
        rows.append((float(size), ratios[0], float(low), float(high)))
    return rows


def _ratio(grid: Array, better: Array, other: Array, size: float) -> float:
    reached = float(np.interp(np.log(size), np.log(grid), other))
    needed = _first(grid, better, reached)
    return size / needed if needed else np.inf


def _first(grid: Array, curve: Array, target: float) -> float:
    """The first size at which the curve reaches the target; 0 below the grid, infinite above."""
    above = np.flatnonzero(curve >= target)
    if not len(above):
        return np.inf
    if above[0] == 0:
        return 0.0
    low, high = above[0] - 1, above[0]
    share = (target - curve[low]) / (curve[high] - curve[low])
    return float(np.exp(np.log(grid[low]) + share * (np.log(grid[high]) - np.log(grid[low]))))


def _resampled(values: Array, half: Array, seed: int) -> Array:
    """(L, DRAWS, sizes) accuracies from resampled trainings and problems (or clusters), the same for all
    lines and sizes. Resamples of few trainings spread too little: they are widened to the calibrated
    interval."""
    rng = np.random.default_rng(seed)
    lines, sizes, *replicates, n = values.shape
    trainings, problems = bootstrap_weights(rng, replicates, DRAWS), bootstrap_weights(rng, [n], DRAWS)
    layouts = values.reshape(lines, sizes, -1, n)
    resampled = np.einsum("lsrn,br,bn->lbs", layouts, trainings, problems, optimize=True)
    mean = layouts.mean(axis=(2, 3))[:, None]
    wider = half / 1.96 / np.maximum(resampled.std(axis=1), 1e-9)
    return np.asarray(np.clip(mean + (resampled - mean) * np.maximum(wider, 1.0)[:, None], 0, 1))


def _held_out(fit: Fit, sizes: Array, accuracy: Array, weights: Array) -> float:
    errors = []
    for place in range(len(sizes)):
        rest = np.arange(len(sizes)) != place
        if rest.sum() < 2:
            return np.inf
        predicted = fit(sizes[rest], accuracy[None, rest], weights[rest], sizes[place : place + 1])
        errors.append(float(predicted[0, 0] - accuracy[place]))
    return float(np.sqrt(np.mean(np.square(errors))))


def _family(shapes: Callable[[Array], Array]) -> Fit:
    """Least-squares fit of low + rise * shape(log n), rise >= 0, with the best of a family of shapes.
    Of shapes that fit equally well, as all do through two sizes, the first, which bends least.

    `shapes` gives (C, len(x)) values of C candidates; low and rise follow in closed form for each.
    """

    def fit(sizes: Array, accuracy: Array, weights: Array, places: Array) -> Array:
        share = weights / weights.sum()
        shape = shapes(np.log(sizes))
        centre, mean = shape @ share, accuracy @ share
        deviation = shape - centre[:, None]
        spread = (deviation**2 @ share)[:, None]
        slope = (deviation * share) @ (accuracy - mean[:, None]).T / np.maximum(spread, 1e-12)
        rise = np.maximum(slope, 0.0)
        gained = 2 * rise * slope * spread - rise**2 * spread
        best = (gained >= gained.max(axis=0) * (1 - TIED)).argmax(axis=0)
        rows = np.arange(len(accuracy))
        rising = rise[best, rows][:, None]
        at = shapes(np.log(places))[best]
        return np.asarray(np.clip(mean[:, None] + rising * (at - centre[best][:, None]), 0, 1))

    return fit


def _power(x: Array) -> Array:
    """-n^-c for c from 0.02 to 4."""
    return -np.exp(-np.geomspace(0.02, 4, 60)[:, None] * x)


def _logistic(x: Array) -> Array:
    """Logistic steps of several widths, with midpoints from 1 to 100,000 examples."""
    middle, steepness = np.meshgrid(np.linspace(0, np.log(1e5), 80), np.geomspace(0.3, 6, 14))
    return np.asarray(1 / (1 + np.exp(-steepness.reshape(-1, 1) * (x - middle.reshape(-1, 1)))))


def _monotone(sizes: Array, accuracy: Array, weights: Array, places: Array) -> Array:
    from scipy.optimize import isotonic_regression

    steps = [isotonic_regression(row, weights=weights).x for row in accuracy]
    return np.stack([np.interp(np.log(places), np.log(sizes), row) for row in steps])


FORMS: dict[str, Fit] = {"power": _family(_power), "logistic": _family(_logistic), "monotone": _monotone}
