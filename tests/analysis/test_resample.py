"""Resampling against what can be counted or is known."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from limo_ablate.analysis.adjust import holm
from limo_ablate.analysis.resample import bootstrap, mcnemar, sign_flips


def test_the_paired_bootstrap_is_normal_theory_on_many_problems() -> None:
    values = np.random.default_rng(0).normal(0.03, 0.4, (1, 500))
    low, high = bootstrap(values)
    error = values.std() / 500**0.5
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.003)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.003)
    assert bootstrap(values) == (low, high), "the same data gives the same interval"


def test_trainings_are_drawn_too() -> None:
    trained = np.random.default_rng(0).normal(0, 0.1, (5, 1)) + np.zeros((5, 200))
    low, high = bootstrap(trained)
    assert high - low == pytest.approx(2 * 1.96 * trained[:, 0].std() / 5**0.5, rel=0.1)


def test_few_sign_flips_are_enumerated() -> None:
    assert sign_flips(np.array([0.5, 0.5, 0.5, 0.5, 0.0])) == 2 / 16
    assert sign_flips(np.array([0.5, -0.5])) == 1.0
    assert sign_flips(np.zeros(4)) == 1.0


def test_many_sign_flips_agree_with_scipy() -> None:
    differences = np.random.default_rng(3).normal(0.1, 0.5, 60)
    reference = stats.permutation_test(
        (differences, np.zeros(60)), lambda a, b, axis: (a - b).sum(axis=axis), permutation_type="samples",
        n_resamples=10_000, rng=np.random.default_rng(0), vectorized=True,
    )  # fmt: skip
    assert sign_flips(differences) == pytest.approx(reference.pvalue, abs=0.015)


def test_mcnemar_counts_the_discordant() -> None:
    a, b = np.array([True] * 9 + [False] * 11), np.array([True] * 8 + [False] + [True] * 8 + [False] * 3)
    assert mcnemar(a, b) == pytest.approx(2 * (1 + 9) / 2**9)
    assert mcnemar(a, a) == 1.0


def test_holm_is_statsmodels() -> None:
    p = np.array([0.04, 0.001, 0.3, 0.012, 0.012])
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert holm([]).shape == (0,)
