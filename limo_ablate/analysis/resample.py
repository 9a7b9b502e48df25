"""Tests and intervals by resampling, reported beside those of `crossed`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
DRAWS = 10_000
EXACT = 16
"""Up to this number of non-zero differences, all sign flips are enumerated."""
CHUNK = 1000


def bootstrap(values: Array, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """Percentile interval of the mean of `values` (R, n) by the two-way bootstrap (Owen 2007).

    Trainings and problems are resampled independently; of crossed trainings (R, S, n), bases and seeds. With
    one training it is the paired bootstrap over problems that s1 (2501.19393) reports. With few trainings it
    is too narrow: 2 of 3 resamples of 3 trainings leave one of them out.
    """
    rng = np.random.default_rng(seed)
    *replicates, n = values.shape
    means = []
    for start in range(0, draws, CHUNK):
        count = min(CHUNK, draws - start)
        trainings, problems = bootstrap_weights(rng, replicates, count), bootstrap_weights(rng, [n], count)
        means.append(((trainings @ values.reshape(-1, n)) * problems).sum(axis=1))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_weights(rng: np.random.Generator, sizes: Sequence[int], count: int) -> Array:
    """(count, product of `sizes`) weights of a mean, each axis resampled with replacement."""
    weights = np.ones((count, 1))
    for size in sizes:
        counts = rng.multinomial(size, np.full(size, 1 / size), count) / size
        weights = (weights[:, :, None] * counts[:, None]).reshape(count, -1)
    return weights


def sign_flips(differences: Array, draws: int = DRAWS, seed: int = 0) -> float:
    """Two-sided p-value of paired `differences` (n,) by random sign flips: over problems, trainings fixed.

    Exact up to `EXACT` non-zero differences; above that, by `draws` random flips and the observed signs.
    """
    nonzero = differences[differences != 0]
    if not len(nonzero):
        return 1.0
    observed = abs(nonzero.sum()) - 1e-9 * np.abs(nonzero).sum()
    if len(nonzero) <= EXACT:
        codes = np.arange(2 ** len(nonzero))[:, None] >> np.arange(len(nonzero))
        return float((np.abs((1 - 2 * (codes & 1)) @ nonzero) >= observed).mean())
    rng = np.random.default_rng(seed)
    as_extreme = 0
    for start in range(0, draws, CHUNK):
        signs = rng.integers(0, 2, (min(CHUNK, draws - start), len(nonzero)), dtype=np.int8)
        as_extreme += int((np.abs((1 - 2 * signs) @ nonzero) >= observed).sum())
    return (as_extreme + 1) / (draws + 1)


def mcnemar(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    """Exact two-sided p-value for two single-sample trials on the same problems (McNemar 1947)."""
    from scipy.stats import binomtest

    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
