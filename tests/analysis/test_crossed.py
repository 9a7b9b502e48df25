"""The one inference: exact where theory is exact, calibrated where it is not."""

import numpy as np
import pytest
from scipy import stats

from limo_ablate.analysis.crossed import DIFFERENCE, SHARE, crossed, half_width, unpaired


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
@pytest.mark.parametrize(
    ("r", "n", "trained"),
    [(3, 30, 0.0), (3, 180, 0.0), (5, 60, 0.0), (3, 30, 0.06), (3, 180, 0.02), (5, 60, 0.06)],
)
def test_the_interval_covers(r: int, n: int, trained: float) -> None:
    """Within 93 to 99 % of 1,200 layouts; the exact chance at 95 % has a standard error of 0.6."""
    found = crossed(layouts(1200, r, n, trained, 0.1, 0.3))
    covered = (np.abs(found.mean) <= found.half_width(0.95)).mean()
    assert 0.93 <= covered <= 0.99
    assert (found.p_value() < 0.05).mean() == pytest.approx(1 - covered, abs=1e-9)


def test_trainings_that_agree_by_chance_make_no_interval_narrower_than_problems_do() -> None:
    found = crossed(layouts(600, 3, 30, 0.0, 0.1, 0.3))
    over_problems = stats.t.ppf(0.975, 29) * found.item_error
    assert (found.half_width(0.95) >= over_problems * (1 - 1e-12)).all()
    alone = half_width(found.spread, 0.95)
    floored = alone < 0.99 * over_problems
    assert 0.1 < floored.mean() < 0.4
    covered = np.abs(found.mean) <= found.half_width(0.95)
    assert covered[floored].mean() >= 0.93
    assert (covered == (found.p_value() >= 0.05)).mean() > 0.995, "interval and p agree"


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


def shares(count: int, r: int, n: int, k: int, rate: float) -> np.ndarray:
    """(count, r, n) accuracies of problems that differ in difficulty, with mean `rate`."""
    rng = np.random.default_rng(3)
    levels = rng.beta(0.5, 0.5 * (1 - rate) / rate, (count, 1, n))
    return rng.binomial(k, np.broadcast_to(levels, (count, r, n))) / k


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.002, 0.01, 0.05, 0.3])
@pytest.mark.parametrize(("r", "n", "k"), [(1, 30, 1), (3, 30, 4), (1, 500, 1), (5, 100, 1)])
def test_near_a_bound_the_interval_covers_and_has_a_width(rate: float, r: int, n: int, k: int) -> None:
    values = shares(400, r, n, k, rate)
    for given, truth in ((values, rate), (1 - values, 1 - rate)):
        found = crossed(given, bounds=SHARE)
        low, high = found.interval()
        assert ((low <= truth) & (truth <= high)).mean() >= 0.93
        assert (high - low).min() > 0.004
        assert found.stderr.min() > 0
        assert (low >= 0).all()
        assert (high <= 1).all()


def test_without_bounds_and_in_the_middle_nothing_changes() -> None:
    values = shares(50, 3, 100, 4, 0.5)
    inside, plain = crossed(values, bounds=SHARE), crossed(values)
    assert inside.half_width(0.95) == pytest.approx(plain.half_width(0.95), rel=0.01)
    assert inside.centre == pytest.approx(plain.mean, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.002, 0.02, 0.2])
@pytest.mark.parametrize(("r", "n", "k"), [(1, 30, 1), (3, 30, 4), (3, 100, 1)])
def test_at_the_margin_equivalence_is_rarely_claimed(rate: float, r: int, n: int, k: int) -> None:
    """Two arms that differ by the margin, 2 points: claimed of at most 6 % (55 % of 30 problems before)."""
    rng = np.random.default_rng(4)
    level = rng.beta(0.5, 0.5 * (1 - rate) / rate, (800, 1, n))
    better = np.clip(level + 0.02 * (1 - level) / (1 - rate), 0, 1)  # the mean difference is 0.02
    arms = [rng.binomial(k, np.broadcast_to(arm, (800, r, n))) / k for arm in (level, better)]
    found = crossed(arms[1] - arms[0], bounds=DIFFERENCE)
    assert (found.p_equivalent(0.02) < 0.05).mean() <= 0.06


def test_the_interval_and_the_p_value_agree_near_a_bound() -> None:
    values = shares(200, 3, 40, 1, 0.03)
    found = crossed(values, bounds=SHARE)
    low, high = found.centre - found.half_width(0.95), found.centre + found.half_width(0.95)
    for null in (0.005, 0.03, 0.1):
        assert ((found.p_value(null) < 0.05) == ((null < low) | (null > high))).all()


def test_unpaired_trainings_are_welchs_test() -> None:
    """Where problems and completions add nothing, two samples of trainings are compared as Welch does."""
    rng = np.random.default_rng(5)
    arms = [rng.normal(0.1, 0.05, (6, 4, 1)), rng.normal(0, 0.08, (6, 3, 1))]
    layouts = [np.broadcast_to(arm, (*arm.shape[:2], 30)) + rng.normal(0, 1e-7, (6, 1, 30)) for arm in arms]
    found = unpaired([layouts[0], -layouts[1]], (-np.inf, np.inf))
    expected = stats.ttest_ind(arms[0][..., 0], arms[1][..., 0], axis=1, equal_var=False)
    assert found.mean == pytest.approx(arms[0].mean(axis=(1, 2)) - arms[1].mean(axis=(1, 2)))
    assert found.stderr == pytest.approx(np.abs(found.mean / expected.statistic), rel=1e-3)
    assert found.p_value() == pytest.approx(expected.pvalue, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("r", "q"), [(10, 3), (3, 2), (5, 1)])
@pytest.mark.parametrize("trained", [0.0, 0.03])
def test_unpaired_intervals_cover(r: int, q: int, trained: float) -> None:
    rng = np.random.default_rng(6)
    level, n = rng.uniform(0.2, 0.8, (600, 1, 200)), 200
    effect = rng.normal(0.05, 0.05, (600, 1, n))
    first = rng.binomial(1, np.clip(level + effect + rng.normal(0, trained, (600, r, 1)), 0, 1))
    second = rng.binomial(1, np.clip(level + rng.normal(0, trained, (600, q, 1)), 0, 1))
    low, high = unpaired([first.astype(float), -second.astype(float)]).interval()
    assert ((low <= 0.05) & (high >= 0.05)).mean() >= 0.93
