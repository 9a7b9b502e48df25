"""The minimum detectable effect is what simulated studies detect; pilots show how large the noise is."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.special import stdtrit

from limo_ablate.analysis.crossed import crossed
from limo_ablate.analysis.power import Contrast, Noise, minimum_detectable_effect, pilot_noise
from limo_ablate.core.errors import UserError

CONTRAST = {"name": "size", "block": "b", "factor": "select.size", "a": 4, "b": 64, "score": "mini"}


@pytest.mark.parametrize(
    ("problems", "accuracy", "samples", "points"),
    [(30, 0.6, 1, 27), (30, 0.6, 4, 15), (30, 0.6, 16, 11), (500, 0.95, 1, 3.2), (500, 0.95, 4, 1.7)],
)
def test_the_priors_give_what_is_planned_with(
    problems: int, accuracy: float, samples: int, points: float
) -> None:
    noise = replace(Noise.prior(accuracy), training=0.0)
    assert 100 * minimum_detectable_effect(noise, problems, samples, 1) == pytest.approx(points, rel=0.08)


def test_more_of_anything_sees_more_and_sharing_alpha_less() -> None:
    noise = Noise.prior(0.5)
    base = minimum_detectable_effect(noise, 30, 1, 3)
    for problems, samples, trials in ((60, 1, 3), (30, 4, 3), (30, 1, 6)):
        assert minimum_detectable_effect(noise, problems, samples, trials) < base
    assert minimum_detectable_effect(noise, 30, 1, 3, contrasts=4) > base


def test_training_noise_does_not_shrink_with_problems() -> None:
    noise = Noise(difference=0.0, completion=0.1, training=0.03**2)
    many = minimum_detectable_effect(noise, 10**9, 1, 5)
    assert many == pytest.approx((stdtrit(4, 0.975) + stdtrit(4, 0.8)) * (2 * 0.03**2 / 5) ** 0.5, rel=0.03)


def _study(noise: Noise, difference: float, problems: int, trials: int, seed: int) -> np.ndarray:
    """(2, trials, problems) accuracies of two arms."""
    draw = np.random.default_rng(seed)
    own = draw.normal(0, (noise.difference / 2) ** 0.5, (2, 1, problems))
    trained = draw.normal(0, noise.training**0.5, (2, trials, 1))
    single = draw.normal(0, noise.completion**0.5, (2, trials, problems))
    return 0.5 + own + trained + single + np.array([0.0, difference]).reshape(2, 1, 1)


@pytest.mark.parametrize(
    ("noise", "problems", "samples", "seeds", "points"),
    [
        (Noise(0.01, 0.2, 0.0), 100, 1, 1, 1),
        (Noise(0.01, 0.2, 0.0), 60, 4, 3, 1),
        (Noise(0.02, 0.1, 0.02**2), 60, 1, 3, 4),
        (Noise(0.01, 0.2, 0.05**2), 60, 2, 5, 1),
    ],
)
def test_that_effect_is_seen_in_four_of_five_studies(
    noise: Noise, problems: int, samples: int, seeds: int, points: int
) -> None:
    """By the analysis itself; 1,200 studies know the share to 1.2 points."""
    effect = minimum_detectable_effect(noise, problems, samples, seeds, points=points)
    draw = np.random.default_rng(0)
    shape = (1200, seeds, problems)
    rest = (2 * noise.completion / samples / points) ** 0.5
    differences = (
        effect
        + draw.normal(0, noise.difference**0.5, (1200, 1, problems))
        + draw.normal(0, (2 * noise.training / points) ** 0.5, (1200, seeds, 1))
        + draw.normal(0, rest, shape)
    )
    assert (crossed(differences).p_value() < 0.05).mean() == pytest.approx(0.8, abs=0.035)


def _frame(rows: np.ndarray) -> pl.DataFrame:
    """Accuracies as `pilot_noise` takes them."""
    arm, trial, problem = (index.ravel() for index in np.indices(rows.shape))
    return pl.DataFrame({
        "arm": arm.astype(str), "trial": [f"{a}-{t}" for a, t in zip(arm, trial, strict=True)],
        "problem": problem.astype(str), "accuracy": rows.ravel(),
    })  # fmt: skip


def test_pilots_show_the_noise() -> None:
    noise = Noise(0.03, 0.1, 0.04**2)
    rows = _study(noise, 0.1, 400, 60, seed=1)
    frame = _frame(rows)
    found = pilot_noise(frame)
    assert found is not None
    assert found.completion == pytest.approx(noise.completion, rel=0.05)
    assert found.difference == pytest.approx(noise.difference, rel=0.25)
    assert found.training == pytest.approx(noise.training, rel=0.5)
    assert pilot_noise(frame.filter(pl.col("trial").is_in(["0-0", "1-0"]))) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": 4}, "a and b are both 4"),
        ({"effect": 5}, "effect=5 is a share"),
        ({"accuracy": 1.0}, "accuracy=1 must lie between 0 and 1"),
    ],
)
def test_mistakes_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=f"contrast 'size': {message}"):
        Contrast(**(CONTRAST | change))  # type: ignore[arg-type]


def test_few_pilots_give_a_range_and_do_not_promise_much() -> None:
    """Two pilots of an arm: what they promise varies less than threefold between studies, and the range
    holds the effect that the true noise would give about as often as it says."""
    noise = Noise(0.01, 0.1, 0.02**2)
    true = minimum_detectable_effect(noise, 200, 1, 3)
    promised, held = [], []
    for seed in range(40):
        rows = _study(noise, 0.0, 200, 2, seed=seed)
        found = pilot_noise(_frame(rows))
        assert found is not None
        low, high = (minimum_detectable_effect(end, 200, 1, 3) for end in found.likely())
        promised.append(minimum_detectable_effect(found, 200, 1, 3))
        assert low <= promised[-1] <= high
        held.append(low <= true <= high)
    assert max(promised) < 3 * min(promised)
    assert np.mean(held) >= 0.7
