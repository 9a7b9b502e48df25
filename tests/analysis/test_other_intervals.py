"""The REML that benchmarks/calibration.py sets beside our intervals."""

import numpy as np
import pytest
from scipy import optimize, stats

from benchmarks.other_intervals import _pooled, reml


@pytest.mark.parametrize(("seed_sd", "problem_sd"), [(0.3, 0.5), (0.0, 0.5), (0.3, 0.0), (0.0, 0.0)])
def test_it_maximises_the_restricted_likelihood(seed_sd: float, problem_sd: float) -> None:
    rng, (r, n) = np.random.default_rng(2), (4, 20)
    own = seed_sd * rng.normal(size=(r, 1)) + problem_sd * rng.normal(size=(1, n))
    values = own + rng.normal(size=(r, n))
    by_seed, by_problem, mean = values.mean(axis=1), values.mean(axis=0), values.mean()
    rest = values - by_seed[:, None] - by_problem + mean
    sums = np.array(
        [n * ((by_seed - mean) ** 2).sum(), r * ((by_problem - mean) ** 2).sum(), (rest**2).sum()]
    )
    free = np.array([r - 1, n - 1, (r - 1) * (n - 1)])

    def expected(logs: np.ndarray) -> np.ndarray:
        seeds, problems, residual = np.exp(logs)
        return np.array([residual + n * seeds, residual + r * problems, residual])

    def loss(logs: np.ndarray) -> float:
        return float((free * np.log(expected(logs)) + sums / expected(logs)).sum())

    starts = [(-1.0, -1.0, 0.0), (-9.0, -9.0, 0.0), (-9.0, -1.0, 0.0), (-1.0, -9.0, 0.0)]
    options = {"xatol": 1e-8, "fatol": 1e-12, "maxiter": 5000}
    found = [optimize.minimize(loss, start, method="Nelder-Mead", options=options) for start in starts]
    seeds, problems, residual = expected(min(found, key=lambda one: one.fun).x)
    variance, degrees = _pooled(sums, free)
    assert variance == pytest.approx(seeds + problems - residual, rel=1e-5)
    half = stats.t.ppf(0.975, degrees) * np.sqrt(variance / (r * n))
    assert float(reml(values[None])[0]) == pytest.approx(half)


def test_with_one_training_it_is_students_t() -> None:
    values = np.random.default_rng(0).normal(size=(1, 1, 30))
    error = values.std(ddof=1) / np.sqrt(30)
    assert float(reml(values)[0]) == pytest.approx(stats.t.ppf(0.975, 29) * error)
