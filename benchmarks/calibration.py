"""Whether the analysis keeps its word: simulated studies with planted effects, through the code that reports.

    python benchmarks/calibration.py [--studies 2000] [--edges]

Two arms answer the same n problems, K completions each, after R trainings an arm. Problems differ in how
hard they are, in what the second arm does to them (SD w), trainings in how well they went (SD t). Coverage
is how often the 95 % interval holds the planted effect, type I how often p < 0.05 without one, power how
often p < 0.05 with an effect of the size that `plan` calls detectable with 80 % (it is given the true w, s
and t). The standard error of each figure is 0.5 (coverage, type I) and 0.9 (power) with 2,000 studies.
With --edges: means and differences near 0 and 1 instead (`edges`).
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from limo_ablate.analysis.crossed import DIFFERENCE, SHARE, crossed
from limo_ablate.analysis.power import Noise, minimum_detectable_effect

Array = npt.NDArray[np.float64]
CHUNK = 250
LARGEST = 0.3
"""Effect that is planted at most; above it accuracies would leave 0..1, and power is not asked."""


def differences(
    rng: np.random.Generator, studies: int, layout: tuple[int, int, int], effect: float, w: float, t: float
) -> Array:
    """(studies, R, n) accuracy of the second arm minus the first's."""
    r, n, k = layout
    level = rng.uniform(0.3, 0.6, (studies, 1, n))
    shift = effect + rng.normal(0, w, (studies, 1, n))
    arms = [level + extra + rng.normal(0, t, (studies, r, 1)) for extra in (0.0, shift)]
    first, second = (rng.binomial(k, np.clip(arm, 0, 1)) / k for arm in arms)
    return np.asarray(second - first)


def figures(
    rng: np.random.Generator, studies: int, layout: tuple[int, int, int], effect: float, w: float, t: float
) -> tuple[float, float]:
    """(share of intervals that hold the effect, share of p < 0.05)."""
    held, seen = [], []
    for start in range(0, studies, CHUNK):
        found = crossed(differences(rng, min(CHUNK, studies - start), layout, effect, w, t))
        low, high = found.interval()
        held += list((low <= effect) & (effect <= high))
        seen += list(found.p_value() < 0.05)
    return float(np.mean(held)), float(np.mean(seen))


RATES = (0.002, 0.01, 0.02, 0.05, 0.2, 0.5, 0.9, 0.98, 0.998)
MARGIN = 0.02
SEED_SD, ITEM_SD, EFFECT_SD = 0.2, 1.5, 0.3
"""In logits: standard deviation of trainings (of several), scale of problems (t with 3 degrees of freedom),
standard deviation of the second arm's effect on them."""


def logit_of(rate: float, *noise: Array) -> float:
    """The intercept with which a population of problems has this mean accuracy."""
    population, low, high = np.sum(noise, axis=0), -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(middle + population).mean() < rate else (low, middle)
    return low


def expit(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def answers(
    rng: np.random.Generator, studies: int, layout: tuple[int, int, int], rate: float, second: float
) -> tuple[Array, Array]:
    """(studies, R, n) accuracies of two arms on the same problems, with mean accuracies `rate`, `second`."""
    r, n, k = layout
    seed_sd = SEED_SD if r > 1 else 0.0
    many = [ITEM_SD * rng.standard_t(3, 200_000), seed_sd * rng.normal(size=200_000)]
    effects = EFFECT_SD * rng.normal(size=200_000)
    items = ITEM_SD * rng.standard_t(3, (studies, 1, n))
    effect = EFFECT_SD * rng.normal(size=(studies, 1, n))
    first = logit_of(rate, *many) + items + seed_sd * rng.normal(size=(studies, r, 1))
    other = logit_of(second, *many, effects) + items + effect + seed_sd * rng.normal(size=(studies, r, 1))
    return rng.binomial(k, expit(first)) / k, rng.binomial(k, expit(other)) / k


def peers(values: Array) -> dict[str, tuple[Array, Array]]:
    """Half widths of other intervals: t over seeds; Miller's error clustered by problem; s1's bootstrap over
    problems (its normal limit)."""
    r, n = values.shape[1:]
    over_seeds = values.mean(axis=2)
    item_error = values.mean(axis=1).std(axis=1, ddof=1) / np.sqrt(n)
    found = {"Miller 2024": 1.96 * item_error, "s1's bootstrap": 1.96 * item_error * np.sqrt((n - 1) / n)}
    if r > 1:
        found["t over seeds"] = stats.t.ppf(0.975, r - 1) * over_seeds.std(axis=1, ddof=1) / np.sqrt(r)
    mean = values.mean(axis=(1, 2))
    return {name: (mean - half, mean + half) for name, half in found.items()}


def edges(rng: np.random.Generator, studies: int) -> None:
    """Coverage and width of the 95 % interval of a mean and of a difference, beside others' intervals of the
    mean, and how often equivalence is claimed of two arms that differ by exactly the margin."""
    names = ("t over seeds", "Miller 2024", "s1's bootstrap")
    print("| accuracy | problems | samples | seeds | mean: coverage / width / least width |", end="")
    print(
        *(f" {name} |" for name in names),
        "difference: coverage / width | equivalence at the margin |",
        sep="",
    )
    print("|---" * 10 + "|")
    for rate, n, (k, r) in product(RATES, (30, 100, 500), ((1, 1), (4, 3), (1, 5))):
        first, second = answers(rng, studies, (r, n, k), rate, min(rate + MARGIN, 0.9999))
        low, high = crossed(first, bounds=SHARE).interval()
        cells = [f"{100 * rate:g}", n, k, r]
        least = f"{100 * (high - low).min():.1f}"
        cells.append(f"{_covered(low, high, rate)} / {100 * (high - low).mean():.1f} / {least}")
        others = peers(first)
        for name in names:
            cells.append(_covered(*others[name], rate) if name in others else "-")
        truth = min(rate + MARGIN, 0.9999) - rate
        difference = crossed(second - first, bounds=DIFFERENCE)
        low, high = difference.interval()
        cells.append(f"{_covered(low, high, truth)} / {100 * (high - low).mean():.1f}")
        size = (difference.p_equivalent(truth) < 0.05).mean()
        cells.append(f"{100 * size:.1f}")
        print("|", " | ".join(map(str, cells)), "|", flush=True)


def _covered(low: Array, high: Array, truth: float) -> str:
    return f"{100 * ((low <= truth) & (truth <= high)).mean():.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--edges", action="store_true")
    asked = parser.parse_args()
    studies, rng = asked.studies, np.random.default_rng(0)
    if asked.edges:
        edges(rng, studies)
        return
    print("| seeds | problems | samples | w | t | detectable | coverage | type I | power |")
    print("|---|---|---|---|---|---|---|---|---|")
    for r, n, k, w, t in product((1, 3, 5), (30, 200, 500), (1, 8), (0.05, 0.15), (0.0, 0.02, 0.05)):
        if r == 1 and t:
            continue
        s2 = 0.245  # mean of p (1 - p) over p from 0.3 to 0.6
        noise = Noise(w**2, s2, t**2)
        effect = minimum_detectable_effect(noise, n, k, r)
        held, power = figures(rng, studies, (r, n, k), min(effect, LARGEST), w, t)
        _, false = figures(rng, studies, (r, n, k), 0.0, w, t)
        cells = [r, n, k, w, t, *(f"{100 * share:.1f}" for share in (effect, held, false, power))]
        cells[-1] = cells[-1] if effect <= LARGEST else "-"
        print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    main()
