"""Tests and intervals by resampling: beside `crossed`, and as others report theirs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
DRAWS = 10_000
EXACT = 16
"""Problems with a difference up to which all sign flips are enumerated."""
CHUNK = 1000


def bootstrap(values: Array, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """Percentile interval of the mean of `values` (R, n), trainings and problems drawn anew, each for itself.

    Crossed trainings (R, S, n) have bases and seeds drawn anew. The two-way bootstrap (Owen 2007). With one
    training it is the paired bootstrap over problems that s1 (2501.19393) reports. With few trainings it is
    too narrow: 2 of 3 draws of 3 leave one of them out.
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
    """(count, product of `sizes`) shares of a mean, each axis drawn anew with replacement."""
    found = np.ones((count, 1))
    for size in sizes:
        drawn = rng.multinomial(size, np.full(size, 1 / size), count) / size
        found = (found[:, :, None] * drawn[:, None]).reshape(count, -1)
    return found


def sign_flips(differences: Array, draws: int = DRAWS, seed: int = 0) -> float:
    """Two-sided p of paired `differences` (n,) under their signs being random: these trainings, any problems.

    Exact up to `EXACT` differences that are not 0; above, `draws` random flips and the data's own.
    """
    moved = differences[differences != 0]
    if not len(moved):
        return 1.0
    seen = abs(moved.sum()) - 1e-9 * np.abs(moved).sum()
    if len(moved) <= EXACT:
        codes = np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved))
        return float((np.abs((1 - 2 * (codes & 1)) @ moved) >= seen).mean())
    rng = np.random.default_rng(seed)
    more = 0
    for start in range(0, draws, CHUNK):
        signs = rng.integers(0, 2, (min(CHUNK, draws - start), len(moved)), dtype=np.int8)
        more += int((np.abs((1 - 2 * signs) @ moved) >= seen).sum())
    return (more + 1) / (draws + 1)


def mcnemar(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    """Exact two-sided p of two single-sample trials, right or wrong on the same problems (McNemar 1947)."""
    from scipy.stats import binomtest

    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def holm(p: npt.ArrayLike) -> Array:
    """Adjusted p-values that keep the chance of any false claim among them (Holm 1979)."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)
    scaled = values[order] * (len(values) - np.arange(len(values)))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted
