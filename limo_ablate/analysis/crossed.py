"""Means over trainings x problems with confidence intervals: the inference used for cells and contrasts.

Every training (seed) answers the same problems, so the layout is crossed. With y_rj the accuracy (or a
difference of accuracies) of training r on problem j, y_rj = mu + training_r + problem_j + rest_rj, all
random: inference is to other trainings and to other problems of the same kind. The variance of the mean is
(MS_trainings + MS_problems - MS_rest) / Rn (two-way random effects; Miller 2024, 2411.00640, treats problems
only). The mean squares have few degrees of freedom, R - 1 above all, so the interval is that of the
generalised pivotal quantity (Weerahandi 1993; Hannig, Iyer and Patterson 2006): each sum of squares is
divided by a chi-squared variable with its degrees of freedom, the mean is normal given that variance, and
the interval holds `level` of the mixture. With one training it is exactly Student's t over problems, and
with several, which may agree by chance, it is never narrower.
benchmarks/calibration.py measures its coverage.

Trainings may themselves be crossed (each base with each seed, and a seed draws the same subset for all
bases). They then have three parts, base + seed + residual of the two, and MS_bases + MS_seeds - MS_residual
takes the place of MS_trainings. If seeds have nothing in common across bases, this is the nested layout, with
a slightly wide interval.

Near the bounds of a share (a model that solves nothing, or everything) few problems carry all variance, and
the interval above is far too narrow; of zero width where all answers agree. There the same inference is made
with two pseudo-problems more, one at each bound (Agresti and Caffo 2000; Bonett and Price 2012 for paired
differences), and the more skewed the problems' means are, the more that one counts (`edge_weight`). Away from
the bounds nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


EDGE = (0.1, 0.2)
"""Skewness of the problems' means, divided by the root of their number, at which pseudo-problems begin to
count, and from which on only they do. Chosen by simulation; benchmarks/calibration.py confirms them."""
LARGEST_SHIFT = 0.3
"""Bound of skewness / sqrt(n) in Johnson's correction (1978), beyond which it is no small one."""
SHARE, DIFFERENCE = (0.0, 1.0), (-1.0, 1.0)
"""Bounds of a share, and of a difference of two."""


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
    centre: Array
    """Centre of the interval: the mean, but near a bound."""
    spread: Array
    """(E, POINTS) standard deviations of the mixture's components."""
    skew: Array
    """Johnson's correction of the centre for the skewness of the problems' means; the equivalence test needs
    it."""
    item_freedom: int
    """Degrees of freedom of `item_error`."""
    bounds: tuple[float, float]
    trainings: int
    """Number of trainings; for crossed trainings, of bases."""
    problems: int

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        half, (least, most) = self.half_width(level), self.bounds
        return np.maximum(self.centre - half, least), np.minimum(self.centre + half, most)

    def half_width(self, level: float) -> Array:
        """Half of the interval's width before it is cut at the bounds."""
        from scipy.special import stdtrit

        over_items = stdtrit(self.item_freedom, (1 + level) / 2) * self.item_error
        return np.asarray(np.maximum(half_width(self.spread, level), over_items))

    def p_value(self, null: float = 0.0) -> Array:
        """Two-sided p-values of the mean being `null`: below 0.05 where it is outside of the 95 % interval;
        1 where nothing varies and the mean is `null`."""
        return 2 * self._beyond(np.abs(self.centre - null))

    def p_equivalent(self, margin: float) -> Array:
        """p-values of the equivalence test, two one-sided tests against `margin` (Schuirmann 1987)."""
        return self._beyond(margin - np.abs(self.centre + self.skew))

    def _beyond(self, distance: Array) -> Array:
        """Probability beyond `distance`, that of `half_width`'s wider interval."""
        from scipy.special import stdtr

        over_items = stdtr(self.item_freedom, -distance / np.maximum(self.item_error, 1e-75))
        return np.asarray(np.maximum(_tail(distance, self.spread), over_items))


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


def crossed(
    values: Array,
    clusters: npt.NDArray[np.int64] | None = None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    problems: int | npt.NDArray[np.int64] | None = None,
) -> Crossed:
    """Estimates for E layouts of R trainings on n problems (n at least 2), `values` (E, R, n); or of R bases
    with the same S seeds each, (E, R, S, n).

    `clusters` (n,) numbers each problem's cluster (a contest, a source) from 0; clusters are then the random
    units instead of problems. `bounds`: what a problem's value is at least and at most, `SHARE` or
    `DIFFERENCE`. `problems`: their number (of each layout), where the columns of `values` are clusters
    already.
    """
    count = values.shape[-1] if problems is None else problems
    grouped = values if clusters is None else by_cluster(values, clusters)
    layouts = _with_seeds(grouped)
    return _near_bounds(_estimates, [layouts], [bounds], bounds, [count], [_by_problem(layouts)])


def stratified(
    strata: Sequence[Array], bounds: tuple[float, float], problems: Sequence[int | npt.NDArray[np.int64]]
) -> Crossed:
    """Estimates of the mean of G layouts' means: the same trainings on each of G sets of problems (or
    clusters), (E, R, n) or (E, R, S, n) with n of their own. The sets are fixed, the problems of each random.

    `problems`: number of problems of each.
    """
    layouts = [_with_seeds(layout) for layout in strata]
    ends, means = [bounds] * len(layouts), [_by_problem(layout) for layout in layouts]
    return _near_bounds(_stratified_estimates, layouts, ends, bounds, problems, means)


def _with_seeds(values: Array) -> Array:
    """(E, R, S, n) of (E, R, n), or itself."""
    return values if values.ndim == 4 else values[:, :, None]


def _by_problem(layout: Array) -> Array:
    return np.asarray(layout.mean(axis=(1, 2)))


def unpaired(
    arms: Sequence[Array], bounds: tuple[float, float] = DIFFERENCE, problems: int | None = None
) -> Crossed:
    """Estimates of the sum of two arms, the second with its sign changed, (E, R, n) and (E, Q, n): the same
    problems (or clusters), each arm with trainings of its own, as independent of the other's.

    The variances between trainings are each arm's own (Welch 1947); an arm with one training takes the
    other's. Not both may have one. `problems`: see `crossed`.
    """
    ends = [(bounds[1], 0.0), (0.0, bounds[0])]  # pseudo-problems that only the second, only the first solves
    count, layouts = problems or arms[0].shape[-1], [_with_seeds(arm) for arm in arms]
    means = [np.asarray(_by_problem(layouts[0]) + _by_problem(layouts[1]))]
    return _near_bounds(_unpaired_estimates, layouts, ends, bounds, [count, count], means)


def _near_bounds(
    estimate: Callable[[list[Array]], dict[str, Array]],
    layouts: list[Array],
    ends: Sequence[tuple[float, float]],
    bounds: tuple[float, float],
    problems: Sequence[int | npt.NDArray[np.int64]],
    sets: Sequence[Array],
) -> Crossed:
    """The estimates of several layouts, with pseudo-problems at `ends` of each as far as they count.

    `sets`: (E, n) means of the problems of each set; pseudo-problems count as far as in the set where they
    count most. A pseudo-problem among clusters is one by itself (`by_cluster`).
    """
    means = columns(sets)
    n = means.shape[1]
    skewness, found = _skewness(means), estimate(layouts)
    if np.isfinite(bounds).all():
        weight = np.max([edge_weight(_skewness(part), part.shape[1]) for part in sets], axis=0)
        counted = zip(layouts, ends, problems, strict=True)
        padded = estimate([_padded(layout, end, layout.shape[-1] / count) for layout, end, count in counted])
        found = {name: (own.T + weight * (padded[name] - own).T).T for name, own in found.items()}
    shift = np.clip(np.nan_to_num(skewness / np.sqrt(n)), -LARGEST_SHIFT, LARGEST_SHIFT)
    return Crossed(
        mean=means.mean(axis=1),
        **found,
        item_freedom=sum(part.shape[1] - 1 for part in sets),
        skew=shift * means.std(axis=1, ddof=1) / np.sqrt(n) * (1 + 2 * ONE_SIDED**2) / 6,
        bounds=bounds,
        trainings=max(layout.shape[1] for layout in layouts),
        problems=int(np.max(sum(problems[: len(sets)]))),
    )


def columns(strata: Sequence[Array]) -> Array:
    """(E, N) means of all sets' problems, weighted so that their mean is the mean of the sets' means."""
    if len(strata) == 1:
        return strata[0]
    total = sum(part.shape[1] for part in strata)
    centre = np.mean([part.mean(axis=1) for part in strata], axis=0)[:, None]
    scaled = [
        (part - part.mean(axis=1, keepdims=True)) * total / (len(strata) * part.shape[1]) for part in strata
    ]
    return np.asarray(np.concatenate(scaled, axis=1) + centre)


def _padded(layout: Array, end: tuple[float, float], share: float | Array) -> Array:
    """The layout with two pseudo-problems more; `share`: clusters per problem, 1 without clusters."""
    mean = layout.mean(axis=(1, 2, 3))[:, None]
    values = mean + (np.array(end) - mean) * np.reshape(share, (-1, 1))
    shape = (*layout.shape[:-1], 2)
    return np.concatenate([layout, np.broadcast_to(values[:, None, None], shape)], axis=-1)


ONE_SIDED = 1.6449
"""95 % quantile of the normal distribution, that of a one-sided test at 5 %."""


def edge_weight(skewness: Array, n: int) -> Array:
    """(E,) share 0..1 with which pseudo-problems count; 1 where the problems' means do not vary."""
    start, end = EDGE
    g = np.abs(skewness) / np.sqrt(n)
    return np.asarray(np.where(np.isnan(g), 1.0, np.clip((g - start) / (end - start), 0.0, 1.0)))


def _skewness(means: Array) -> Array:
    """(E,) skewness of the problems' means (E, n); NaN where they do not vary."""
    deviations = means - means.mean(axis=1, keepdims=True)
    second = (deviations**2).mean(axis=1)
    flat = second <= 1e-24
    third = (deviations**3).mean(axis=1) / np.where(flat, 1.0, second) ** 1.5
    return np.asarray(np.where(flat, np.nan, third))


def _estimates(layouts: list[Array]) -> dict[str, Array]:
    """Errors, centre and spread of one (E, R, S, n) layout, by the names of `Crossed`."""
    (layout,) = layouts
    _, r, s, n = layout.shape
    mean = layout.mean(axis=(1, 2, 3))
    sums = _squares(layout, mean)
    free = freedom(r, n, s)[:, None]
    parts = (free > 0) * sums / (np.maximum(free, 1) * r * s * n)
    base_part, problem_part, rest_part, seed_part, residual_part = parts
    training_part = np.maximum(base_part + seed_part - residual_part, np.maximum(base_part, seed_part))
    return _errors(training_part, problem_part, rest_part, r * s) | {
        "centre": mean,
        "spread": spreads(sums, r, n, s),
    }


def _stratified_estimates(layouts: list[Array]) -> dict[str, Array]:
    """The same of the mean of several layouts' means: what trainings add is that of their mean, what problems
    add is summed over the layouts."""
    _, r, s, _ = layouts[0].shape
    trainings = np.mean([layout.mean(axis=3) for layout in layouts], axis=0)[..., None]
    mean = trainings.mean(axis=(1, 2, 3))
    base, _, _, seed, residual = _squares(trainings, mean) / (r * s)
    signs, sums, free = [1, 1, -1], [base, seed, residual], list(freedom(r, 2, s)[[0, 3, 4]])
    for layout in layouts:
        n = layout.shape[-1]
        _, items, rest, _, _ = _squares(layout, layout.mean(axis=(1, 2, 3)))
        share = 1 / (len(layouts) ** 2 * r * s * n)
        sums += [items * share, rest * share]
        free += list(freedom(r, n, s)[1:3])
        signs += [1, -1]
    parts = np.array([one / count if count else 0 * one for one, count in zip(sums, free, strict=True)])
    base, seed, residual = parts[:3]
    training_part = np.maximum(base + seed - residual, np.maximum(base, seed))
    return _errors(training_part, parts[3::2].sum(axis=0), parts[4::2].sum(axis=0), r * s) | {
        "centre": mean,
        "spread": _mixture(np.stack(sums), tuple(free), signs, POINTS),
    }


def _unpaired_estimates(layouts: list[Array]) -> dict[str, Array]:
    """The same of two layouts' sum."""
    n = layouts[0].shape[-1]
    counts = [layout.shape[1] for layout in layouts]
    signs, sums, free = [1], [], [n - 1.0]
    columns = np.sum([layout.mean(axis=(1, 2)) for layout in layouts], axis=0)
    mean = columns.mean(axis=1)
    sums.append(((columns - mean[:, None]) ** 2).sum(axis=1) / n)
    for layout, own, other in zip(layouts, counts, counts[::-1], strict=True):
        if own > 1:
            bases, _, rest, _, _ = _squares(layout, layout.mean(axis=(1, 2, 3)))
            share = (1 / own + (other == 1)) / n  # also of an arm with one training
            sums += [bases * share, rest * share]
            free += [own - 1.0, (own - 1.0) * (n - 1)]
            signs += [1, -1]
    parts = np.stack(sums) / np.array(free)[:, None]
    training_part, rest_part = parts[1::2].sum(axis=0), parts[2::2].sum(axis=0)
    return _errors(training_part, parts[0], rest_part, max(counts)) | {
        "centre": mean,
        "spread": _mixture(np.stack(sums), tuple(free), signs, POINTS),
    }


def _errors(training: Array, problem: Array, rest: Array, trainings: int) -> dict[str, Array]:
    """Standard errors from the parts of the mean's variance."""
    largest = np.maximum(training, problem)
    return {
        "seed_error": np.sqrt(training) if trainings > 1 else np.full(len(training), np.nan),
        "item_error": np.sqrt(problem),
        "stderr": np.sqrt(np.maximum(training + problem - rest, largest)),
    }


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
    return _mixture(sums / (r * s * n), tuple(freedom(r, n, s)), SIGNS, points)


def _mixture(sums: Array, free: tuple[float, ...], signs: Sequence[int], points: int) -> Array:
    """(E, points) standard deviations: (K, E) sums of squares with their signs, each divided by chi-squared
    values with its degrees of freedom; one with none is left out."""
    chi = chi_squared(free, points)
    variance = sum(signs[k] * (sums[k][:, None] / chi[k]) for k in range(len(free)) if free[k])
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


@cache
def chi_squared(free: tuple[float, ...], points: int, seed: int = 0) -> Array:
    """(K, points) chi-squared values with the degrees of freedom of each sum of squares (at least 1)."""
    from scipy.special import chdtri

    rng = np.random.default_rng(seed)
    strata = np.stack([rng.permutation(points) for _ in free])
    return np.asarray(chdtri(np.maximum(free, 1)[:, None], (strata + 0.5) / points))


def by_cluster(values: Array, clusters: npt.NDArray[np.int64]) -> Array:
    """(E, ..., G): each cluster's share of the mean, so that the mean over clusters is that over problems."""
    groups, n = int(clusters.max()) + 1, values.shape[-1]
    mean = values.mean(axis=tuple(range(1, values.ndim)), keepdims=True)
    member: Any = np.zeros((n, groups))
    member[np.arange(n), clusters] = groups / n
    return np.asarray((values - mean) @ member + mean)
