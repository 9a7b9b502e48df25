"""Sequential studies: nominal levels of the looks, and what a look decides.

Alpha is spent over the looks by a function of the share of seeds (Lan and DeMets 1983). The levels are for
Student's t over nested seeds (`t = R / R_max`, R - 1 degrees of freedom), by simulation: those of the normal
distribution would spend too much on three seeds. They are applied to the p-values of `crossed`, which also
has the problems' part. benchmarks/sequential.py measures type I error and power.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from limo_ablate.analysis.power import ALPHA
from limo_ablate.study.contrast import Contrast
from limo_ablate.study.stop import Stop, planned

Array = npt.NDArray[np.float64]
PATHS = 200_000
"""Simulated studies."""
FUTILE = 0.05
"""Probability, given the seeds so far, of showing a difference or equivalence at the last look, below which
no more seeds are added. It does not bind: going on all the same keeps alpha."""


def spent(share: float, spending: str, alpha: float) -> float:
    """Alpha that may be spent when `share` (0..1) of the seeds are there."""
    from scipy.special import ndtr, ndtri

    if spending == "pocock":
        return alpha * math.log(1 + (math.e - 1) * share)
    return float(2 - 2 * ndtr(ndtri(1 - alpha / 2) / math.sqrt(share)))


@cache
def levels(looks: tuple[int, ...], spending: str, alpha: float) -> tuple[float, ...]:
    """Two-sided nominal level of each look, with which all of them together have size `alpha`."""
    p = simulated_p(looks, 0.0, PATHS)
    running, found, before = np.ones(PATHS, bool), list[float](), 0.0
    for own, count in zip(p, looks, strict=True):
        now = spent(count / looks[-1], spending, alpha)
        crossing = min(round((now - before) * PATHS), int(running.sum()) - 1)
        level = float(np.partition(own[running], crossing)[crossing]) if crossing > 0 else 0.0
        found.append(level)
        running &= own >= level
        before = now
    return tuple(found)


def simulated_p(looks: Sequence[int], effect: float, paths: int) -> Array:
    """(looks, paths) two-sided p-values of Student's t over the first seeds, of SD 1 and mean `effect`."""
    from scipy.special import stdtr

    rng = np.random.default_rng(0)
    total, squares, found, done = np.zeros(paths), np.zeros(paths), [], 0
    for count in looks:
        for _ in range(count - done):
            drawn = rng.normal(effect, 1, paths)
            total, squares = total + drawn, squares + drawn**2
        done = count
        spread = np.sqrt(np.maximum(squares - total**2 / count, 1e-30) / (count - 1) / count)
        found.append(2 * stdtr(count - 1, -np.abs(total / count) / spread))
    return np.array(found)


def expected_seeds(stop: Stop, alpha: float) -> tuple[list[float], int]:
    """Expected seeds without an effect, and with one and two times that which a fixed design of `max_seeds`
    detects with 80 % power; and the seeds of a fixed design with the power that the sequential one has there.

    Of differences alone: equivalence and futility end a study earlier.
    """
    looks = planned(stop)
    nominal, paths = np.array(levels(looks, stop.spending, alpha)), 40_000
    effect = _detected(looks[-1], alpha, paths)
    found, power = [], 0.0
    for times in (0.0, 1.0, 2.0):
        crossed_ = simulated_p(looks, times * effect, paths) < nominal[:, None]
        first = np.where(crossed_.any(axis=0), crossed_.argmax(axis=0), len(looks) - 1)
        found.append(float(np.array(looks)[first].mean()))
        power = float(crossed_.any(axis=0).mean()) if times == 1 else power
    counts = range(looks[0], looks[-1] + 1)
    fixed = next((n for n in counts if (simulated_p((n,), effect, paths) < alpha).mean() >= power), looks[-1])
    return found, fixed


def _detected(seeds: int, alpha: float, paths: int) -> float:
    """The mean, in SDs of a seed, that `seeds` seeds detect with 80 % power."""
    low, high = 0.0, 10.0
    for _ in range(20):
        middle = (low + high) / 2
        enough = (simulated_p((seeds,), middle, paths) < alpha).mean() >= 0.8
        low, high = (low, middle) if enough else (middle, high)
    return high


def shared_alpha(contrasts: Sequence[Contrast]) -> float:
    """Alpha of each primary contrast."""
    return ALPHA / max(1, sum(contrast.primary for contrast in contrasts))


def nominal(stop: Stop, contrasts: Sequence[Contrast], look: int) -> tuple[float, float]:
    """Levels at look `look` (from 0) of a contrast's two-sided p, and of its equivalence test (one-sided).

    Alpha is divided among the primary contrasts (Bonferroni), and among those with a margin.
    """
    tested = sum(contrast.primary and contrast.margin is not None for contrast in contrasts)
    different = levels(planned(stop), stop.spending, shared_alpha(contrasts))[look]
    return different, levels(planned(stop), stop.spending, 2 * ALPHA / max(1, tested))[look] / 2


def decision(
    row: Mapping[str, Any], stop: Stop, contrasts: Sequence[Contrast], look: int, margin: float | None
) -> str:
    """What look `look` (from 0) decides of a row of `contrasts.contrasts`: `undecided`, for which seeds are
    added, or `different`, `equivalent`, `futile`, `no result`, `last look`."""
    different, equivalent = nominal(stop, contrasts, look)
    if row["effect"] is None:  # an arm's trials have failed for good
        return "no result"
    if row["p"] is not None and row["p"] < different:
        return "different"
    if row["p_equivalent"] is not None and row["p_equivalent"] < equivalent:
        return "equivalent"
    if look == len(planned(stop)) - 1:
        return "last look"
    last = nominal(stop, contrasts, len(planned(stop)) - 1)
    futile = row["p"] is None or chance(row, planned(stop), look, last, margin) < FUTILE
    return "futile" if futile else "undecided"


def chance(
    row: Mapping[str, Any], looks: Sequence[int], look: int, last: tuple[float, float], margin: float | None
) -> float:
    """Probability that the last look shows a difference or equivalence, given the seeds so far: the seeds to
    come vary as those that are there, and the problems' part of the error stays."""
    from scipy.special import stdtr, stdtrit

    now, most = looks[look], looks[-1]
    variance = (row["seed_error"] or 0.0) ** 2 * now
    item = max(row["stderr"] ** 2 - variance / now, 0.0)
    error = math.sqrt(item + variance / most)
    spread = max(math.sqrt(variance * (most - now) / most / now), 1e-9)

    def below(value: float) -> float:
        """Probability that the last look's estimate is below `value`."""
        return float(stdtr(now - 1, (value - row["effect"]) / spread))

    beyond = -float(stdtrit(most - 1, last[0] / 2)) * error
    found = 1 - below(beyond) + below(-beyond)
    within = 0.0 if margin is None else margin + float(stdtrit(most - 1, last[1])) * error
    return found + (below(within) - below(-within) if within > 0 else 0.0)
