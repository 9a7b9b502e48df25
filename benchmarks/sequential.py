"""Type I error, power and seeds of sequential studies, through the code that takes the looks.

    python benchmarks/sequential.py [--studies 1000] [--null]

Two arms answer the same 500 problems once, after up to 10 trainings; the looks decide by `decision` on
the estimates of `crossed`. Differences have problem effects (SD 0.1), answers (variance 2 x 0.245) and
trainings (SD `t`). `d` is what 10 seeds detect with 80 % power. Coverage is that of the interval when a study
stops, of 1 - the level of its last look. The standard error of a share is 0.7 (at 5 %) and 1.3 (at 80 %) with
1,000 studies. With --null: without an effect only, for the type I error.
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
from limo_ablate.analysis.sequential import decision, nominal
from limo_ablate.study.contrast import Contrast
from limo_ablate.study.stop import Stop, planned

PROBLEMS, SEEDS, ITEM_SD, ANSWER = 500, 10, 0.1, 0.245
CHUNK = 500
Array = npt.NDArray[np.float64]


def simulated(rng: np.random.Generator, studies: int, effect: float, t: float) -> Array:
    """(studies, seeds, problems) differences of two arms."""
    shape = (studies, SEEDS, PROBLEMS)
    own = effect + rng.normal(0, ITEM_SD, (studies, 1, PROBLEMS))
    trainings = rng.normal(0, t * np.sqrt(2), (studies, SEEDS, 1))
    return np.asarray(own + trainings + rng.normal(0, np.sqrt(2 * ANSWER), shape))


def outcomes(values: Array, stop: Stop, margin: float | None, effect: float) -> list[tuple[str, int, bool]]:
    """(decision, seeds, whether the interval contains `effect`) of each study."""
    contrast = Contrast(name="c", block="b", factor="f", a=0, b=1, score="mini", margin=margin)
    found: list[tuple[str, int, bool]] = [("", 0, False)] * len(values)
    running = np.arange(len(values))
    for number, seeds in enumerate(planned(stop)):
        estimate = crossed(values[running, :seeds])
        p, same = estimate.p_value(), estimate.p_equivalent(margin) if margin else None
        held = estimate.p_value(effect) >= nominal(stop, [contrast], number)[0]
        left = []
        for place, study in enumerate(running):
            row = {
                "effect": float(estimate.mean[place]), "stderr": float(estimate.stderr[place]),
                "seed_error": float(estimate.seed_error[place]), "p": float(p[place]),
                "p_equivalent": None if same is None else float(same[place]),
            }  # fmt: skip
            found[study] = decision(row, stop, [contrast], number, margin), seeds, bool(held[place])
            if found[study][0] == "undecided":
                left.append(study)
        running = np.array(left, dtype=int)
        if not len(running):
            break
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--null", action="store_true")
    asked, rng = parser.parse_args(), np.random.default_rng(0)
    header = (
        "looks | spending | seed SD | margin | effect | different | equivalent | futile | seeds | coverage"
    )
    print(f"| {header} |\n{'|---' * 10}|")
    for looks, spending, t, margin in product(
        ((3, 5, 7, 10), (5, 10)), ("obrien_fleming", "pocock"), (0.01, 0.05), (None, 1.0)
    ):
        stop = Stop(looks=looks, spending=spending, max_seeds=SEEDS)
        planned_effect = minimum_detectable_effect(Noise(ITEM_SD**2, ANSWER, t**2), PROBLEMS, 1, SEEDS)
        for times in (0.0,) if asked.null else (0.0, 0.5, 1.0, 2.0):
            wide = None if margin is None else margin * planned_effect
            effect, found = times * planned_effect, []
            for start in range(0, asked.studies, CHUNK):
                values = simulated(rng, min(CHUNK, asked.studies - start), effect, t)
                found += outcomes(values, stop, wide, effect)
            decisions, seeds, held = zip(*found, strict=True)
            shares = [decisions.count(name) / len(found) for name in ("different", "equivalent", "futile")]
            cells = [", ".join(map(str, looks)), spending, t, "-" if wide is None else "d", f"{times:g} d"]
            cells += [f"{100 * share:.1f}" for share in shares]
            cells += [f"{np.mean(seeds):.1f}", f"{100 * np.mean(held):.1f}"]
            print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    main()
