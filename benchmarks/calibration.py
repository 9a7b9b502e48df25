"""Whether the analysis keeps its word: simulated studies with planted effects, through the code that reports.

    python benchmarks/calibration.py [--studies 2000]

Two arms answer the same n problems, K completions each, after R trainings an arm. Problems differ in how
hard they are, in what the second arm does to them (SD w), trainings in how well they went (SD t). Coverage
is how often the 95 % interval holds the planted effect, type I how often p < 0.05 without one, power how
often p < 0.05 with an effect of the size that `plan` calls detectable with 80 % (it is given the true w, s
and t). The standard error of each figure is 0.5 (coverage, type I) and 0.9 (power) with 2,000 studies.
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from limo_ablate.analysis.crossed import crossed
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=2000)
    studies = parser.parse_args().studies
    rng = np.random.default_rng(0)
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
