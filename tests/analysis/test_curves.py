"""Curves fitted to accuracies that come from known ones."""

from collections.abc import Callable

import numpy as np
import pytest

from limo_ablate.analysis.crossed import SHARE, crossed
from limo_ablate.analysis.curves import Curve, data_equivalence, decline, fit_curves

SIZES = np.array([4.0, 8, 16, 32, 64, 128, 256])


def power(n: np.ndarray) -> np.ndarray:
    return 0.9 - 1.2 * n**-0.5


def logistic(n: np.ndarray) -> np.ndarray:
    return 0.05 + 0.9 / (1 + np.exp(-2 * (np.log(n) - np.log(24))))


def answers(truth: np.ndarray, seed: int = 0, r: int = 3, n: int = 300, k: int = 8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    chance = truth[:, None, None] + rng.normal(0, 0.01, (len(truth), r, 1)) + rng.normal(0, 0.05, n)
    return rng.binomial(k, np.clip(chance, 0, 1)) / k


def fit_curve(sizes: np.ndarray, values: np.ndarray) -> Curve:
    return fit_curves(sizes, values[None])[0]


@pytest.mark.parametrize("truth", [power, logistic])
def test_the_form_behind_the_data_is_found(truth: Callable[[np.ndarray], np.ndarray]) -> None:
    curve = fit_curve(SIZES, answers(truth(SIZES)))
    assert curve.form == truth.__name__
    assert curve.fitted == pytest.approx(truth(curve.grid), abs=0.04)
    low, high = curve.band()
    assert (low <= truth(curve.grid)).all()
    assert (truth(curve.grid) <= high).all()


def test_a_band_covers_the_whole_curve_about_as_often_as_it_says() -> None:
    hits = []
    for seed in range(60):
        curve = fit_curve(SIZES[::2], answers(power(SIZES[::2]), seed, n=120))
        low, high = curve.band()
        hits.append(((low <= power(curve.grid)) & (power(curve.grid) <= high)).all())
    assert np.mean(hits) >= 0.88


def test_examples_needed_for_a_target() -> None:
    curve = fit_curve(SIZES, answers(logistic(SIZES)))
    n, low, high = curve.needed(0.5)
    assert n == pytest.approx(24, rel=0.1)
    assert low < n < high
    assert low > 12
    assert high < 48
    assert curve.needed(0.99)[0] == np.inf
    assert curve.needed(0.0) == (0, 0, 0)


def test_gains_are_contrasts_of_the_sizes() -> None:
    curve = fit_curve(SIZES, answers(power(SIZES)))
    expected = np.diff(power(SIZES))
    for (gain, low, high), truth, measured in zip(
        curve.gains, expected, np.diff(curve.accuracy), strict=True
    ):
        assert gain == pytest.approx(measured)
        assert low < truth < high


FALLING = np.array([0.3, 0.5, 0.6, 0.66, 0.64, 0.6, 0.55])


def test_a_curve_can_fall() -> None:
    """More examples, less accuracy: the line, its band and its gains show it, and the test tells it."""
    curve = fit_curve(SIZES, answers(FALLING))
    assert curve.form == "unimodal"
    assert (curve.decline.best, curve.decline.loss) == (32, pytest.approx(0.11, abs=0.04))
    assert curve.decline.p < 0.01
    assert curve.fitted[-1] < curve.fitted.max() - 0.07
    _, upper = curve.band()
    assert upper[-1] < 0.62
    assert curve.gains[-1][0] < 0


def test_a_decline_is_rarely_told_where_there_is_none() -> None:
    told = []
    for seed in range(100):
        values = answers(np.array([0.3, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6]), seed, n=60, k=1)
        told.append(decline(SIZES, values).p < 0.05)
        told.append(decline(SIZES, values[:, :1]).p < 0.05)
    assert np.mean(told) <= 0.09  # 5 % and three standard errors
    assert decline(SIZES, np.zeros((7, 3, 60))).p == 1


def test_where_between_two_sizes_a_target_is_reached_stays_open() -> None:
    covered = []
    for seed in range(40):
        curve = fit_curve(SIZES, answers(logistic(SIZES), seed, n=60))
        _, low, high = curve.needed(0.5)
        assert {low, high} <= {0.0, *SIZES, np.inf}
        covered.append(low <= 24 <= high)
    assert np.mean(covered) >= 0.9


def test_one_tier_is_worth_four_times_the_examples_of_another() -> None:
    """The better line at n has what the other has at 4 n."""
    both = np.stack([answers(logistic(4 * SIZES), 1), answers(logistic(SIZES), 2)])
    better, other = fit_curves(SIZES, both)
    rows = {size: (ratio, low, high) for size, ratio, low, high in data_equivalence(better, other)}
    for size in (32.0, 64.0):
        ratio, low, high = rows[size]
        assert ratio == pytest.approx(4, rel=0.2)
        assert low < ratio < high


def test_rounding_does_not_choose_among_curves_through_two_sizes() -> None:
    """Each of three sizes is predicted from two, which every shape fits: no matter the order of problems."""
    for seed in range(8):
        values = answers(power(SIZES[:3]), seed, n=60)
        one, other = fit_curve(SIZES[:3], values), fit_curve(SIZES[:3], values[:, :, ::-1])
        assert one.held_out == pytest.approx(other.held_out)


@pytest.mark.parametrize("solved", [0.0, 1.0])
def test_where_all_answers_agree_the_band_is_as_wide_as_a_cells_interval(solved: float) -> None:
    """It had no width."""
    sizes = np.array([4.0, 16.0, 64.0])
    (curve,) = fit_curves(sizes, np.full((1, 3, 3, 60), solved))
    low, high = curve.band()
    (least,), (most,) = crossed(np.full((1, 3, 60), solved), bounds=SHARE).interval()
    assert (high - low)[[0, -1]].min() > most - least
    assert (high - low).min() > 0.8 * (most - least), "between sizes, too"
    assert (low.min() >= 0, high.max() <= 1) == (True, True)
