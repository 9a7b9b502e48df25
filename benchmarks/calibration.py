"""Whether the analysis keeps its word: simulated studies with planted effects, through the code that reports.

    python benchmarks/calibration.py [--studies 2000] [--edges | --contrasts | --families | --equivalence]

Two arms answer the same n problems, K completions each, after R trainings an arm. Problems differ in how
hard they are, in what the second arm does to them (SD w), trainings in how well they went (SD t). Coverage
is how often the 95 % interval holds the planted effect, type I how often p < 0.05 without one, power how
often p < 0.05 with an effect of the size that `plan` calls detectable with 80 % (it is given the true w, s
and t). The standard error of each figure is 0.5 (coverage, type I) and 0.9 (power) with 2,000 studies.
With --edges: means and differences near 0 and 1 instead (`edges`); --contrasts: changes of effects, lines,
means over benchmarks (`declared`); --families: several contrasts at once (`families`);
--equivalence: whether the power that `plan` promises for the equivalence test holds (`equivalence`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from other_intervals import OTHERS, other_intervals
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from limo_ablate.analysis.adjust import holm
from limo_ablate.analysis.crossed import DIFFERENCE, SHARE, Crossed, crossed, stratified
from limo_ablate.analysis.power import Noise, equivalence_power, minimum_detectable_effect
from limo_ablate.analysis.trajectory import cross_fitted

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


def edges(rng: np.random.Generator, studies: int) -> None:
    """Coverage and width of the 95 % intervals of a mean and of a difference, beside others' intervals, and
    how often equivalence is claimed of two arms that differ by exactly the margin."""
    means, differences_ = [], []
    for rate, n, (k, r) in product(RATES, (30, 100, 500), ((1, 1), (4, 3), (1, 5))):
        second = min(rate + MARGIN, 0.9999)
        one, two = answers(rng, studies, (r, n, k), rate, second)
        setting = [f"{100 * rate:g}", str(n), str(k), str(r)]
        low, high = crossed(one, bounds=SHARE).interval()
        ours = f"{_figures(low, high, rate)} / {100 * (high - low).min():.1f}"
        means.append([*setting, ours, *_others(rng, one, rate)])
        difference, truth = crossed(two - one, bounds=DIFFERENCE), second - rate
        size = 100 * (difference.p_equivalent(truth) < 0.05).mean()
        found = [_figures(*difference.interval(), truth), *_others(rng, two - one, truth)]
        differences_.append([*setting, *found, f"{size:.1f}"])
    header = ["accuracy", "problems", "samples", "seeds"]
    _print([*header, "ours, with the least width", *OTHERS], means)
    _print([*header, "ours", *OTHERS, "equivalence at the margin"], differences_)


def _others(rng: np.random.Generator, values: Array, truth: float) -> list[str]:
    found = other_intervals(rng, values)
    return [_figures(*found[name], truth) if name in found else "-" for name in OTHERS]


def _print(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"| {' | '.join(header)} |\n{'|---' * len(header)}|")
    print(*(f"| {' | '.join(row)} |" for row in rows), "", sep="\n", flush=True)


WEIGHTS = {
    "change of an effect": (1.0, -1.0, -1.0, 1.0),
    "line through 4 sizes": (-0.9, -0.3, 0.3, 0.9),
    "mean of two benchmarks": (-1.0, 1.0),
}
SETS = {"mean of two benchmarks": (1.0, 0.06)}
"""Problems of each benchmark, as shares of the setting's number: MATH500 and AIME24."""
ARM_RATES = {
    "floor": (0.01, 0.02, 0.02, 0.05), "middle": (0.3, 0.4, 0.45, 0.6), "ceiling": (0.9, 0.95, 0.98, 0.99),
}  # fmt: skip


def arms(
    rng: np.random.Generator, studies: int, layout: tuple[int, int, int], rates: Sequence[float]
) -> list[Array]:
    """(studies, R, n) accuracies of an arm for each rate, on the same problems."""
    r, n, k = layout
    seed_sd = SEED_SD if r > 1 else 0.0
    many = [
        ITEM_SD * rng.standard_t(3, 200_000),
        seed_sd * rng.normal(size=200_000),
        EFFECT_SD * rng.normal(size=200_000),
    ]
    items = ITEM_SD * rng.standard_t(3, (studies, 1, n))
    found = []
    for rate in rates:
        own = EFFECT_SD * rng.normal(size=(studies, 1, n)) + seed_sd * rng.normal(size=(studies, r, 1))
        found.append(rng.binomial(k, expit(logit_of(rate, *many) + items + own)) / k)
    return found


def declared(rng: np.random.Generator, studies: int) -> None:
    """Contrasts of more than two arms, and means over benchmarks: coverage and width, how often p < 0.05 and
    equivalence are wrong (arms alike, or apart by the margin)."""
    print("| contrast | accuracies | problems | samples | seeds | coverage / width | type I | ", end="")
    print("equivalence at the margin |")
    print("|---" * 8 + "|")
    for (name, weights), (at, rates), (n, k, r) in product(
        WEIGHTS.items(), ARM_RATES.items(), ((30, 4, 3), (500, 1, 3), (500, 1, 5), (100, 1, 1))
    ):
        sizes = [max(10, round(n * share)) for share in SETS.get(name, (1.0,))]
        own = [*rates[:1], rates[-1]] if len(weights) == 2 else list(rates)
        truth = float(np.dot(weights, own))
        found = _weighted(rng, studies, [(r, size, k) for size in sizes], weights, own)
        low, high = found.interval()
        alike = _weighted(rng, studies, [(r, size, k) for size in sizes], weights, [rates[1]] * len(own))
        cells = [name, at, " + ".join(map(str, sizes)), k, r]
        cells.append(f"{_covered(low, high, truth)} / {100 * (high - low).mean():.1f}")
        cells.append(f"{100 * (alike.p_value() < 0.05).mean():.1f}")
        cells.append(f"{100 * (found.p_equivalent(abs(truth)) < 0.05).mean():.1f}" if truth else "-")
        print("|", " | ".join(map(str, cells)), "|", flush=True)


def _weighted(
    rng: np.random.Generator,
    studies: int,
    layouts: Sequence[tuple[int, int, int]],
    weights: Sequence[float],
    rates: Sequence[float],
) -> Crossed:
    values = [
        np.tensordot(weights, np.stack(arms(rng, studies, layout, rates)), axes=1) for layout in layouts
    ]
    bounds = sum(min(weight, 0.0) for weight in weights), sum(max(weight, 0.0) for weight in weights)
    if len(values) == 1:
        return crossed(values[0], bounds=bounds)
    return stratified(values, bounds, [layout[1] for layout in layouts])


def families(rng: np.random.Generator, studies: int) -> None:
    """How often one of several contrasts of arms that are alike is significant, and how often that of
    an arm that differs is: by Holm's method, and with Dunnett's critical value for the same p-values."""
    print("| family | problems | seeds | wrong: Holm | wrong: Dunnett | found: Holm | found: Dunnett |")
    print("|---" * 7 + "|")
    control = rng.normal(size=200_000)
    largest = np.max([np.abs(rng.normal(size=200_000) - control) / np.sqrt(2) for _ in range(3)], axis=0)
    critical = 2 * stats.norm.sf(np.quantile(largest, 0.95))
    for pairs, (n, r) in product((False, True), ((500, 3), (500, 5), (100, 10))):
        cells = ["all pairs of 4" if pairs else "3 against a reference", str(n), str(r)]
        wrong, found = [], []
        for rates, shares in (((0.4,) * 4, wrong), ((0.4, 0.4, 0.4, 0.5), found)):
            own = arms(rng, studies, (r, n, 1), rates)
            chosen = [(0, 3), *((a, b) for a in range(4) for b in range(a + 1, 4) if (a, b) != (0, 3))]
            chosen = chosen if pairs else [(0, 3), (0, 1), (0, 2)]
            p = np.stack([crossed(own[b] - own[a], bounds=DIFFERENCE).p_value() for a, b in chosen])
            for significant in (np.stack([holm(one) for one in p.T]).T < 0.05, p < critical):
                seen = significant.any(axis=0) if shares is wrong else significant[0]
                shares.append(f"{100 * seen.mean():.1f}")
        if pairs:
            wrong[1] = found[1] = "-"
        print("|", " | ".join([*cells, *wrong, *found]), "|", flush=True)


def equivalence(rng: np.random.Generator, studies: int) -> None:
    """How often two arms that are alike are found equivalent, beside what `plan` promises with the true
    variances, which are of another process than its own."""
    print("| accuracy | problems | samples | seeds | margin | promised | found |")
    print("|---" * 7 + "|")
    for rate, (n, k, r, margin) in product(
        (0.01, 0.05, 0.5, 0.95), ((100, 1, 5, 0.1), (500, 1, 3, 0.05), (500, 1, 10, 0.02), (30, 16, 5, 0.1))
    ):
        items, seeds = ITEM_SD * rng.standard_t(3, 200_000), SEED_SD * rng.normal(size=200_000)
        one, two = (EFFECT_SD * rng.normal(size=200_000) for _ in range(2))
        level = logit_of(rate, items, seeds, one)
        first, second = expit(level + items + one), expit(level + items + two)
        single = float((first * (1 - first)).mean())
        noise = Noise(float((first - second).var()), single, (SEED_SD * single) ** 2)
        promised = equivalence_power(noise, rate, n, k, r, margin)
        own = arms(rng, studies, (r, n, k), (rate, rate))
        found = crossed(own[1] - own[0], bounds=DIFFERENCE).p_equivalent(margin) < 0.05
        told = ~np.all([(arm == 0).all(axis=(1, 2)) for arm in own], axis=0)
        cells = [f"{100 * rate:g}", n, k, r, f"{100 * margin:g}"]
        shares = [f"{100 * share:.0f}" for share in (promised, (found & told).mean())]
        print("|", " | ".join(map(str, [*cells, *shares])), "|", flush=True)


def _figures(low: Array, high: Array, truth: float) -> str:
    """Coverage / mean width."""
    return f"{_covered(low, high, truth)} / {100 * (high - low).mean():.1f}"


def _covered(low: Array, high: Array, truth: float) -> str:
    return f"{100 * ((low <= truth) & (truth <= high)).mean():.1f}"


COURSES = {
    "flat": (0.5,) * 5, "rises": (0.3, 0.4, 0.45, 0.48, 0.5), "peak": (0.45, 0.5, 0.5, 0.49, 0.47),
    "floor": (0.01, 0.02, 0.02, 0.02, 0.02),
}  # fmt: skip
"""True accuracies of a training's points."""


def trajectory(rng: np.random.Generator, studies: int) -> None:
    """What choosing the best of 5 points on the test set adds: the true optimism, its mean estimate, how
    often the interval holds the true one, its width."""
    print("| course of 5 points | problems | cells x seeds | optimism | estimate | coverage | width |")
    print("|---" * 7 + "|")
    for (name, rates), (n, cells, r) in product(
        COURSES.items(), ((30, 1, 3), (30, 8, 3), (500, 4, 3), (500, 1, 5))
    ):
        truths, found = [], []
        for _ in range(studies):
            values, truth = _trainings(rng, n, cells * r, rates)
            best = values.mean(axis=2).argmax(axis=1)
            own = values[np.arange(len(values)), best]
            truths.append((own.mean(axis=1) - truth[np.arange(len(values)), best]).mean())
            other = np.stack([cross_fitted(points, np.arange(n)) for points in values])
            found.append((own - other).reshape(cells, r, n).mean(axis=0))
        estimate, truth = crossed(np.stack(found), bounds=DIFFERENCE), float(np.mean(truths))
        low, high = estimate.interval()
        numbers = [f"{100 * value:.2f}" for value in (truth, estimate.mean.mean())]
        row = [name, n, f"{cells} x {r}", *numbers, _covered(low, high, truth)]
        print("|", " | ".join(map(str, [*row, f"{100 * (high - low).mean():.1f}"])), "|", flush=True)


def _trainings(rng: np.random.Generator, n: int, count: int, rates: Sequence[float]) -> tuple[Array, Array]:
    """(count, points, n) answers of trainings at their points, and the true accuracies (count, points)."""
    shape, many = (count, len(rates)), ITEM_SD * rng.standard_t(3, 4000)
    noise = SEED_SD * (rng.normal(size=(count, 1)) + rng.normal(size=shape) / 2)
    courses = (np.array([_level(rate) for rate in rates]) + noise)[..., None]
    own = EFFECT_SD * (rng.normal(size=(count, 1, n)) + rng.normal(size=(*shape, n)))
    items = ITEM_SD * rng.standard_t(3, n)
    answered = rng.random((*shape, n)) < expit(courses + items + own)
    spread = np.sqrt(2) * EFFECT_SD * rng.normal(size=4000)
    return answered.astype(float), expit(courses + many + spread).mean(axis=2)


@cache
def _level(rate: float) -> float:
    rng = np.random.default_rng(1)
    return logit_of(rate, ITEM_SD * rng.standard_t(3, 200_000), EFFECT_SD * rng.normal(size=200_000))


SECTIONS = {
    "edges": edges,
    "contrasts": declared,
    "families": families,
    "equivalence": equivalence,
    "trajectory": trajectory,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=2000)
    for section in SECTIONS:
        parser.add_argument(f"--{section}", action="store_true")
    asked = parser.parse_args()
    studies, rng = asked.studies, np.random.default_rng(0)
    for section in SECTIONS:
        if getattr(asked, section):
            SECTIONS[section](rng, studies)
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
