"""Data-efficiency curves: accuracy against the number of examples with a confidence band, and quantities
read from them.

Three forms are fitted: `power`, a - b n^-c, with a ceiling and a floor at the smallest size; `logistic` in
log n; `unimodal`, least squares that rise up to some size and fall from there, interpolated over log n. The
form with the smallest leave-one-size-out error gives the line; `unimodal` where accuracy falls significantly
towards the largest size. What is inferred does not rest on that choice: the band is that of unimodal fits,
gains are paired contrasts of the sizes that were run, and the interval of the examples needed ends at such
sizes. Nothing is extrapolated beyond them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from limo_ablate.analysis.crossed import DIFFERENCE, SHARE, by_cluster, crossed
from limo_ablate.analysis.power import ALPHA
from limo_ablate.analysis.resample import bootstrap_weights

Array = npt.NDArray[np.float64]
Fit = Callable[[Array, Array, Array, Array], Array]
"""Maps sizes (S,), accuracies (D, S), weights (S,) and places (P,) to D curves at the places, (D, P)."""
DRAWS = 400
POINTS = 61
"""Number of points of a curve, evenly spaced over log n."""
FLAT = 1e-9
"""Spread of resamples below which they differ by rounding only."""
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
    centre: Array
    """The unimodal fit at `grid`, around which the band is; and around `fitted`, which may bend between sizes
    where this one is straight."""
    draws: Array
    """(DRAWS, POINTS) unimodal fits to bootstrap resamples of the accuracies."""
    gains: tuple[tuple[float, float, float], ...]
    """(gain, low, high) from each size to the next: difference of accuracy, paired on problems and trainings,
    with its 95 % confidence interval."""
    to_largest: tuple[tuple[float, float, float], ...]
    """The same from each size but the last to the largest."""
    decline: Decline
    held_out: dict[str, float]
    """Form -> root mean square error of each size predicted from the others."""

    def band(self, level: float = 0.95) -> tuple[Array, Array]:
        """Simultaneous band: contains the whole curve with probability `level` (largest standardised
        deviation)."""
        spread = np.maximum(self.draws.std(axis=0), 1e-9)
        furthest = np.abs((self.draws - self.draws.mean(axis=0)) / spread).max(axis=1)
        half = np.quantile(furthest, level) * spread
        lower, upper = np.minimum(self.centre, self.fitted), np.maximum(self.centre, self.fitted)
        return np.clip(lower - half, 0, 1), np.clip(upper + half, 0, 1)

    def needed(self, target: float, level: float = 0.95) -> tuple[float, float, float]:
        """(n, low, high) examples needed for an accuracy of `target`; infinite if no size that was run
        reaches it, 0 if the smallest size does.

        low and high are sizes that were run: up to low, the whole band is below the target; at high, all of
        it has reached it. Where between two sizes that is, only the fitted form says.
        """
        bounds = (np.interp(np.log(self.sizes), np.log(self.grid), end) for end in self.band(level))
        lower, upper = bounds
        below = int(np.logical_and.accumulate(upper < target).sum())
        low = float(self.sizes[below - 1]) if below else 0.0
        low = np.inf if below == len(self.sizes) else low
        reached = np.flatnonzero(lower >= target)
        high = float(self.sizes[reached[0]]) if len(reached) else np.inf
        high = 0.0 if high == self.sizes[0] else high
        return min(max(_first(self.grid, self.fitted, target), low), high), low, high


@dataclass(frozen=True, slots=True)
class Decline:
    """Whether accuracy at the largest size is below that at a smaller one."""

    best: float
    """The smaller size with the highest accuracy."""
    loss: float
    """Accuracy there minus accuracy at the largest size; negative where the largest is the best."""
    p: float
    """One-sided, adjusted for the choice of the best among the smaller sizes."""


def decline(sizes: Array, values: Array) -> Decline:
    """Test of the largest size against all smaller ones, `values` (sizes, trainings, problems).

    Dunnett's one-sided test (1955) with the largest size as control. The variance of a difference pools the
    sizes: of trainings, size x training residuals; of problems, size x problem residuals beyond the noise of
    completions. With one training it is over problems only. Near 0 and 1, where that variance is too small, p
    is at least that of the paired contrast of the two sizes. Where variances between trainings clearly differ
    (Bartlett's test), the smallest of the paired p-values, times the number of smaller sizes.
    """
    from scipy.stats import bartlett

    s, r, n = values.shape
    means = values.mean(axis=(1, 2))
    best = int(means[:-1].argmax())
    trainings, problems = values.mean(axis=2), values.mean(axis=1)
    centred = means[:, None]
    between = ((trainings - centred - trainings.mean(axis=0) + means.mean()) ** 2).sum()
    free = (s - 1) * (r - 1)
    trained = between / free / r if free else 0.0
    items = ((problems - centred - problems.mean(axis=0) + means.mean()) ** 2).sum() / ((s - 1) * (n - 1) * n)
    rest = values - trainings[:, :, None] - problems[:, None] + centred[:, None]
    noise = (rest**2).sum() / (s * (r - 1) * (n - 1)) / (r * n) if free else 0.0
    variance = trained + max(0.0, items - noise)
    loss = float(means[best] - means[-1])
    if r > 2 and (trainings.std(axis=1) > 0).all() and bartlett(*trainings).pvalue < 0.05:
        paired = crossed(values[:-1] - values[-1], bounds=DIFFERENCE)
        one_sided = np.where(paired.mean > 0, paired.p_value() / 2, 1.0)
        return Decline(float(sizes[best]), loss, min(1.0, (s - 1) * float(one_sided.min())))
    if variance <= 0 or loss <= 0:
        return Decline(float(sizes[best]), loss, 1.0)
    df = min(MOST_FREEDOM, int(free * (variance / trained) ** 2)) if trained else MOST_FREEDOM
    p = _dunnett(loss / np.sqrt(2 * variance), s, max(df, 1))
    pair = crossed((values[best] - values[-1])[None], bounds=DIFFERENCE)
    return Decline(float(sizes[best]), loss, max(p, float(pair.p_value()[0]) / 2))


MOST_FREEDOM = 60
"""Most degrees of freedom of the pooled variance: problems are many, but their number is no certainty."""


def _dunnett(statistic: float, arms: int, df: int, draws: int = 20_000) -> float:
    """Probability of a largest of `arms` - 1 studentised differences from a control above `statistic`."""
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((draws, arms))
    largest = (normal[:, :-1].max(axis=1) - normal[:, -1]) / np.sqrt(2 * rng.chisquare(df, draws) / df)
    return float((1 + (largest >= statistic).sum()) / (1 + draws))


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
    ends = [(line.mean, *line.interval()) for line in estimates]
    reach = np.stack([np.maximum(high - mean, mean - low) for mean, low, high in ends])
    resampled = _resampled(values, reach, seed)
    grid = np.exp(np.linspace(np.log(sizes[0]), np.log(sizes[-1]), POINTS))
    curves = []
    for own, line, resamples in zip(values, estimates, resampled, strict=True):
        weights = 1 / np.maximum(line.stderr, 0.01) ** 2
        errors = {form: _held_out(fit, sizes, line.mean, weights) for form, fit in FORMS.items()}
        falls = decline(sizes, own.reshape(len(sizes), -1, own.shape[-1]))
        form = "unimodal" if falls.p < ALPHA else min(errors, key=lambda name: errors[name])
        (fitted,) = FORMS[form](sizes, line.mean[None], weights, grid)
        centre, *draws = _unimodal(sizes, np.vstack([line.mean, resamples]), weights, grid)
        gains, to_largest = (_gains(end - own[:-1], problems) for end in (own[1:], own[-1:]))
        curves.append(
            Curve(
                form,
                sizes,
                line.mean,
                grid,
                fitted,
                centre,
                np.stack(draws),
                gains,
                to_largest,
                falls,
                errors,
            )
        )
    return curves


def _gains(differences: Array, problems: int) -> tuple[tuple[float, float, float], ...]:
    paired = crossed(differences, bounds=DIFFERENCE, problems=problems)
    return tuple(zip(*(map(float, part) for part in (paired.mean, *paired.interval())), strict=True))


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


def _resampled(values: Array, reach: Array, seed: int) -> Array:
    """(L, DRAWS, sizes) accuracies from resampled trainings and problems (or clusters), the same for all
    lines and sizes. Resamples of few trainings, or near 0 and 1, spread too little: they are widened to the
    calibrated interval, which ends `reach` (L, sizes) from the mean. Where all answers agree, normal values
    take their place."""
    rng = np.random.default_rng(seed)
    lines, sizes, *replicates, n = values.shape
    trainings, problems = bootstrap_weights(rng, replicates, DRAWS), bootstrap_weights(rng, [n], DRAWS)
    layouts = values.reshape(lines, sizes, -1, n)
    resampled = np.einsum("lsrn,br,bn->lbs", layouts, trainings, problems, optimize=True)
    mean = layouts.mean(axis=(2, 3))[:, None]
    spread = resampled.std(axis=1)[:, None]
    flat = spread < FLAT
    deviation = np.where(flat, rng.standard_normal(resampled.shape), resampled - mean)
    wider = reach[:, None] / 1.96 / np.where(flat, 1.0, spread)
    return np.asarray(mean + deviation * np.where(flat, wider, np.maximum(wider, 1.0)))


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


def _unimodal(sizes: Array, accuracy: Array, weights: Array, places: Array) -> Array:
    """Rising up to one of the sizes, falling from there: the best of all of them, for each row."""
    fits = []
    for peak in range(len(sizes)):
        up, down = slice(None, peak + 1), slice(peak + 1, None)
        rising = _isotonic(accuracy[:, up], weights[up])
        falling = _isotonic(accuracy[:, down][:, ::-1], weights[down][::-1])[:, ::-1]
        fits.append(np.concatenate([rising, falling], axis=1))
    candidates = np.stack(fits)
    errors = ((candidates - accuracy) ** 2 * weights).sum(axis=2)
    best = candidates[errors.argmin(axis=0), np.arange(len(accuracy))]
    return np.stack([np.interp(np.log(places), np.log(sizes), row) for row in best])


def _isotonic(values: Array, weights: Array) -> Array:
    """Least-squares rising fit of each row: at i, the largest over a <= i of the smallest over b >= i of the
    mean from a to b (Barlow et al. 1972)."""
    count = values.shape[1]
    sums = np.pad(np.cumsum(values * weights, axis=1), ((0, 0), (1, 0)))
    total = np.pad(np.cumsum(weights), (1, 0))
    fitted = np.empty_like(values)
    for i in range(count):
        width = total[i + 1 :][None] - total[: i + 1, None]
        means = (sums[:, None, i + 1 :] - sums[:, : i + 1, None]) / width
        fitted[:, i] = means.min(axis=2).max(axis=1)
    return fitted


FORMS: dict[str, Fit] = {"power": _family(_power), "logistic": _family(_logistic), "unimodal": _unimodal}
