"""s1's paired-bootstrap intervals (2501.19393, Table 2) by the bootstrap used here, from its accuracies.

    python benchmarks/s1_table2.py

The paper gives each model's accuracy and the 95 % interval of its difference from s1K, 10,000 draws of the
problems, one answer to each. Its answers are not here. Synthetic ones have the same accuracies, but those do
not say how many problems both models solved, which decides how wide the interval is: all that are possible
are tried. A bootstrapped end is a multiple of one problem, and another seed can move it by one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from limo_ablate.analysis.crossed import crossed
from limo_ablate.analysis.resample import bootstrap, mcnemar

PROBLEMS = {"AIME24": 30, "MATH500": 500, "GPQA": 198}
S1K = {"AIME24": 50.0, "MATH500": 93.0, "GPQA": 57.6}
PUBLISHED = {
    ("1K-random", "AIME24"): (36.7, -26.7, -3.3),
    ("1K-random", "MATH500"): (90.6, -4.8, 0.0),
    ("1K-random", "GPQA"): (52.0, -12.6, 2.5),
    ("1K-diverse", "AIME24"): (26.7, -40.0, -10.0),
    ("1K-diverse", "MATH500"): (91.2, -4.0, 0.2),
    ("1K-diverse", "GPQA"): (54.6, -10.1, 5.1),
    ("1K-longest", "AIME24"): (33.3, -36.7, 0.0),
    ("1K-longest", "MATH500"): (90.4, -5.0, -0.2),
    ("1K-longest", "GPQA"): (59.6, -5.1, 10.1),
    ("59K-full", "AIME24"): (53.3, -13.3, 20.0),
    ("59K-full", "MATH500"): (92.8, -2.6, 2.2),
    ("59K-full", "GPQA"): (58.1, -6.6, 8.6),
}
"""(model, benchmark): accuracy, interval of its difference from s1K; percent, as printed."""
PRINTED = 0.051
"""How far apart two figures printed to 0.1 are at most, if they are the same."""


@dataclass(frozen=True)
class Pairing:
    """One way in which the two models' right answers can fall together; figures in percent."""

    both: int
    low: float
    high: float
    low_t: float
    """Interval of `crossed`: Student's t over problems."""
    high_t: float
    mcnemar: float


def pairings(n: int, right: int, reference: int) -> Iterator[Pairing]:
    """Every number of problems that both can have solved."""
    for both in range(max(0, right + reference - n), min(right, reference) + 1):
        a, b = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        a[:reference] = True
        b[reference - both : reference - both + right] = True
        values = (b.astype(float) - a)[None]
        low, high = bootstrap(values)
        low_t, high_t = (float(end[0]) for end in crossed(values[None]).interval())
        yield Pairing(both, 100 * low, 100 * high, 100 * low_t, 100 * high_t, mcnemar(a, b))


def span(low: float, high: float) -> str:
    return f"[{low:+.1f}, {high:+.1f}]"


def row(model: str, benchmark: str) -> str:
    accuracy, low, high = PUBLISHED[model, benchmark]
    n = PROBLEMS[benchmark]
    right, reference = (round(share * n / 100) for share in (accuracy, S1K[benchmark]))
    found = list(pairings(n, right, reference))
    apart = [max(abs(p.low - low), abs(p.high - high)) for p in found]
    same = [p.both for p, gap in zip(found, apart, strict=True) if gap < PRINTED]
    near = [p for p, gap in zip(found, apart, strict=True) if gap < PRINTED + 100 / n]
    likely = found[int(np.argmin(apart))]
    narrow, wide = (choose(found, key=lambda p: p.high - p.low) for choose in (min, max))
    tried = [p.mcnemar for p in near]
    cells = [
        model, benchmark, f"{right} / {reference} of {n}", f"{100 * (right - reference) / n:+.1f}",
        span(low, high), span(narrow.low, narrow.high), span(wide.low, wide.high),
        f"{found[0].both} to {found[-1].both}",
        " ".join(map(str, same)) or "-", f"{near[0].both} to {near[-1].both}",
        span(likely.low, likely.high), span(likely.low_t, likely.high_t),
        f"{min(tried):.2g} to {max(tried):.2g}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    header = [
        "model", "benchmark", "right, s1K's", "difference", "published", "narrowest", "widest",
        "both right: possible", "as published", "to one problem", "nearest", "Student's t there", "McNemar p",
    ]  # fmt: skip
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for model, benchmark in PUBLISHED:
        print(row(model, benchmark), flush=True)


if __name__ == "__main__":
    main()
