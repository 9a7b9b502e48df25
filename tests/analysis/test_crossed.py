"""The one inference: exact where theory is exact, calibrated where it is not."""

import numpy as np
import pytest
from scipy import stats

from limo_ablate.analysis.crossed import crossed


def layouts(count: int, r: int, n: int, trained: float, problem: float, rest: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (
        rng.normal(0, trained, (count, r, 1))
        + rng.normal(0, problem, (count, 1, n))
        + rng.normal(0, rest, (count, r, n))
    )


def test_with_one_training_it_is_students_t_over_problems() -> None:
    values = layouts(5, 1, 30, 0, 0.3, 0.2) + 0.1
    found = crossed(values)
    expected = stats.ttest_1samp(values[:, 0], 0, axis=1)
    assert found.p_value() == pytest.approx(expected.pvalue, rel=0.02, abs=1e-4)
    low, high = found.interval()
    own = expected.confidence_interval(0.95)
    assert low == pytest.approx(own.low, abs=2e-3)
    assert high == pytest.approx(own.high, abs=2e-3)
    assert found.stderr == pytest.approx(values[:, 0].std(axis=1, ddof=1) / 30**0.5)
    assert np.isnan(found.seed_error).all()


def test_where_only_trainings_differ_it_is_students_t_over_trainings() -> None:
    values = layouts(4, 5, 40, 0.3, 0, 1e-6) + 0.2
    expected = stats.ttest_1samp(values.mean(axis=2), 0, axis=1)
    assert crossed(values).p_value() == pytest.approx(expected.pvalue, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("r", "n"), [(3, 30), (3, 180), (5, 60)])
@pytest.mark.parametrize("trained", [0.0, 0.02, 0.06])
def test_the_interval_covers(r: int, n: int, trained: float) -> None:
    """Within 93 to 98 % of 1,200 layouts; the exact chance at 95 % has a standard error of 0.6."""
    found = crossed(layouts(1200, r, n, trained, 0.1, 0.3))
    covered = (np.abs(found.mean) <= found.half_width(0.95)).mean()
    assert 0.93 <= covered <= 0.98
    assert (found.p_value() < 0.05).mean() == pytest.approx(1 - covered, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("base", [0.0, 0.05])
@pytest.mark.parametrize("seed", [0.0, 0.05])
@pytest.mark.parametrize(("r", "s", "n"), [(3, 3, 60), (5, 3, 60)])
def test_the_interval_covers_crossed_trainings(r: int, s: int, n: int, base: float, seed: float) -> None:
    """Bases, each with the same seeds. The mean over seeds as if they were nested covers far less."""
    rng = np.random.default_rng(2)
    values = (
        rng.normal(0, base, (600, r, 1, 1)) + rng.normal(0, seed, (600, 1, s, 1))
        + rng.normal(0, 0.01, (600, r, s, 1)) + rng.normal(0, 0.1, (600, 1, 1, n))
        + rng.normal(0, 0.3, (600, r, s, n))
    )  # fmt: skip
    found, nested = crossed(values), crossed(values.mean(axis=2))
    assert (np.abs(found.mean) <= found.half_width(0.95)).mean() >= 0.93
    assert found.stderr.mean() == pytest.approx(found.mean.std(), rel=0.3)
    if seed > base:
        assert (np.abs(nested.mean) <= nested.half_width(0.95)).mean() < 0.9


def test_one_seed_of_each_base_is_a_training_like_others() -> None:
    values = layouts(5, 4, 30, 0.05, 0.1, 0.3)
    found, alone = crossed(values[:, :, None]), crossed(values)
    assert np.array_equal(found.spread, alone.spread)
    assert np.array_equal(found.stderr, alone.stderr)


def test_problems_of_a_cluster_count_together() -> None:
    """Five problems that always agree are one."""
    single = layouts(3, 3, 12, 0.05, 0.2, 0.1)
    copied = np.repeat(single, 5, axis=2)
    clusters = np.repeat(np.arange(12), 5)
    naive, grouped, one = crossed(copied), crossed(copied, clusters), crossed(single)
    assert grouped.stderr == pytest.approx(one.stderr)
    assert grouped.half_width(0.95) == pytest.approx(one.half_width(0.95))
    assert (naive.item_error < 0.6 * one.item_error).all()
    assert grouped.problems == 60


def test_equivalence_is_two_one_sided_tests() -> None:
    values = layouts(1, 1, 200, 0, 0.1, 0.1) + 0.01
    found = crossed(values)
    row = values[0, 0]
    above = stats.ttest_1samp(row, 0.04, alternative="less").pvalue
    below = stats.ttest_1samp(row, -0.04, alternative="greater").pvalue
    assert found.p_equivalent(0.04) == pytest.approx(max(above, below), rel=0.05, abs=1e-4)
    assert found.p_equivalent(0.001)[0] > 0.5


def test_without_variation_a_mean_is_certain() -> None:
    found = crossed(np.zeros((1, 3, 10)))
    assert (found.mean[0], found.half_width(0.95)[0], found.p_value()[0]) == (0, 0, 1)
    moved = crossed(np.full((1, 3, 10), 0.5))
    assert moved.p_value()[0] < 1e-6
