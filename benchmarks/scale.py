"""How long the analysis of a large study takes: 1,000 trials x 500 problems x 16 samples, 8 million verdicts.

    python benchmarks/scale.py [--trials 1000] [--problems 500] [--samples 16]

Writes a study of trials' folders (config.yaml, metrics.json, verdicts.parquet) into a temporary folder: 100
cells of size, tier and difficulty, under as many seeds as there are trials for, and analyses it step by step
as the report does. Then the plain way in the same run: pandas for the same verdicts and statsmodels, scipy
and Python loops for the same numbers, on a part of the study that is stated, extrapolated by the number of
what was left out. Seconds are of the clock, and of the processor (all threads); memory is the most that was
resident.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from limo_ablate.analysis.answers import items
from limo_ablate.analysis.contrasts import contrasts
from limo_ablate.analysis.cube import Cube, contrast_weights, cube
from limo_ablate.analysis.curves import data_equivalence, fit_curves
from limo_ablate.analysis.factors import complete_grid, factor_effects
from limo_ablate.analysis.measures import measure_means, measures
from limo_ablate.analysis.summary import summary
from limo_ablate.analysis.table import table
from limo_ablate.analysis.trials import load_trials
from limo_ablate.analysis.variance_components import components
from limo_ablate.study.contrast import Contrast
from limo_ablate.trial.compose import compose

SIZES = (100, 200, 400, 800, 1600)
TIERS = ("L1", "L2", "L3", "L4", "L5")
DIFFICULTIES = ("easy", "medium", "hard", "any")
AXES = ("select.size", "select.quality", "select.difficulty")
GROUPS = {"mini": (1, 9), "mini/easy": (1, 3), "mini/medium": (4, 6), "mini/hard": (7, 9)}
PART, REDRAWN, FITTED = 20, 200, 10
"""What the plain way does of 1,000 trials, of 10,000 bootstrap draws, of 400 redrawn curves."""


def write(folder: Path, trials: int, problems: int, samples: int) -> None:
    """A study of `trials` trials, a multiple of 100, in the schema of docs/architecture.md."""
    rng = np.random.default_rng(0)
    points = list(product(SIZES, TIERS, DIFFICULTIES))
    composed = asdict(compose(["eval=miniature", "data=miniature", "track=none"]))
    config = yaml.safe_dump(json.loads(json.dumps(composed)), sort_keys=False)
    skill = rng.normal(0, 0.15, problems)
    levels = 1.0 + np.arange(problems) % 9
    fixed = {
        "benchmark": "mini", "problem": np.repeat([f"problem-{i:04d}" for i in range(problems)], samples),
        "sample": np.tile(np.arange(samples), problems), "level": np.repeat(levels, samples),
        "source": np.repeat([f"contest-{i // 10}" for i in range(problems)], samples), "subject": None,
        "gold": "42",
    }  # fmt: skip
    cells = []
    for number, ((size, tier, difficulty), seed) in enumerate(product(points, range(trials // len(points)))):
        chance = 0.2 + 0.06 * SIZES.index(size) + 0.05 * TIERS.index(tier) + rng.normal(0, 0.02) + skill
        right = rng.random((problems, samples)) < np.clip(chance, 0.02, 0.98)[:, None]
        right = right.reshape(-1)
        kind = rng.integers(1, 5, right.size)
        verdicts = pl.DataFrame(fixed | {"answer": np.where(right, "42", kind.astype(str))}).with_columns(
            tokens=pl.Series(rng.integers(200, 8000, right.size)),
            finish=pl.Series(np.where(kind == 4, "length", "stop")), loops=pl.lit(False),
            status=pl.Series(np.where(right, "correct", "incorrect")), rule=pl.lit("boxed"),
            reason=pl.lit(None, pl.String), boxed=pl.Series(right), lenient=pl.Series(right),
            vote=pl.Series(np.where(right, 0, kind).astype(np.int64)), clean=pl.lit(None, pl.Boolean),
        )  # fmt: skip
        name = f"t{number}"
        asked: dict[str, Any] = dict(zip(AXES, (size, tier, difficulty), strict=True)) | {"model": "mini_m"}
        at = folder / "trials" / name
        at.mkdir(parents=True)
        verdicts.write_parquet(at / "verdicts.parquet")
        (at / "config.yaml").write_text(config)
        (at / "provenance.json").write_text(json.dumps({"code": "c0de", "versions": {}}))
        (at / "metrics.json").write_text(
            json.dumps(_metrics(name, levels, right.reshape(-1, samples), asked, seed))
        )
        cell = {"name": name, "folder": name, "seed": seed, "blocks": ["grid"]}
        cells.append(cell | {"key": name, "overrides": asked | {"seed": seed}})
    (folder / "cells.json").write_text(json.dumps(cells))


def _metrics(key: str, level: Any, right: Any, asked: dict[str, Any], seed: int) -> dict[str, Any]:
    """What the analysis reads of a trial's metrics.json."""
    scores = {}
    for name, (low, high) in GROUPS.items():
        own = right[(level >= low) & (level <= high)]
        share = float(own.mean())
        scores[name] = {
            "accuracy": share, "stderr": 0.01, "boxed": share, "lenient": share, "no_answer": 0.0,
            "undecided": 0.0, "truncated": 0.25, "loops": 0.0, "tokens": 4000.0, "problems": len(own),
            "samples": right.shape[1],
        }  # fmt: skip
    return {
        "trial": key, "study": "scale", "cell": asked, "seed": seed, "factors": {"parameters": 42000},
        "scores": scores, "train": {"rows": 64, "steps": 120, "loss": 0.2}, "seconds": {},
        "total_seconds": 3.5, "artifacts": {}, "inputs": {"files": {}, "versions": {}},
        "finished": "2026-01-01T01:00:00+00:00",
    }  # fmt: skip


class Clock:
    """Processor and wall seconds of each step, and the peak of resident memory after it."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, float, float]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        self.rows.append((name, time.perf_counter() - wall, time.process_time() - cpu, peak))
        print(f"| {name} | {self.rows[-1][1]:.2f} | {self.rows[-1][2]:.2f} | {peak:.2f} |", flush=True)


@dataclass
class Found:
    """What the real analysis gave, for the comparison."""

    items: pl.DataFrame
    measures: pl.DataFrame
    cells: pl.DataFrame
    contrasts: pl.DataFrame
    block: Cube
    curves: int
    """Lines that were fitted."""


def wanted() -> list[Contrast]:
    """All levels of each factor against its first one: 11."""
    levels = dict(zip(AXES, (SIZES, TIERS, DIFFICULTIES), strict=True))
    return [
        Contrast(name=f"{axis}={b}", block="grid", factor=axis, a=of[0], b=b, score="mini", margin=0.02)
        for axis, of in levels.items()
        for b in of[1:]
    ]


def analysed(folder: Path, clock: Clock) -> Found:
    """The analysis as the report does it."""
    with clock.step("load_trials"):
        trials = load_trials(folder)
    with clock.step("items: every verdict"):
        answers = items(trials)
    with clock.step("table"):
        rows = table(trials)
    with clock.step("summary: cells x scores with intervals"):
        cells = summary(rows, answers, AXES)
    with clock.step("measures: pass@k, maj, health, tokens by problem"):
        long = measures(trials)
    with clock.step("measured: cells x scores x measures with intervals"):
        measure_means(rows, long, AXES)
    with clock.step("contrasts: 11, bootstrap of 10,000, sign flips"):
        claims = contrasts(wanted(), {"grid": AXES}, trials, answers)
    with clock.step("factor effects and components"):
        block = complete_grid(cube(trials, answers, AXES, "mini"))
        factor_effects(block)
        components(block)
    with clock.step("curves: a line a tier, equivalence of each pair"):
        lines = _lines(block)
        curves = fit_curves(np.array(SIZES, dtype=float), lines)
        for better, other in product(curves, curves):
            data_equivalence(better, other)
    return Found(answers, long, cells, claims, block, len(curves))


def _lines(block: Cube) -> Any:
    """(tiers, sizes, seeds, problems), averaged over difficulties."""
    order = [
        [[c for c, (s, t, _) in enumerate(block.cells) if (s, t) == (size, tier)] for size in SIZES]
        for tier in TIERS
    ]
    return np.array([[block.accuracy[own].mean(axis=0) for own in line] for line in order])


def plain(folder: Path, found: Found, trials: int) -> dict[str, tuple[float, float]]:
    """Step -> (processor seconds that were measured, those of the whole); and that the numbers agree."""
    took = {"verdicts, pass@k, maj: pandas and loops": _plain_verdicts(folder, found, trials)}
    took["intervals of cells: statsmodels"] = _plain_cells(found)
    took["contrasts: loop and scipy.stats.permutation_test"] = _plain_contrasts(found)
    took["curves: scipy.optimize.curve_fit"] = _plain_curves(found)
    return took


def _plain_verdicts(folder: Path, found: Found, trials: int) -> tuple[float, float]:
    import pandas as pd

    start, values = time.process_time(), {}
    names = [f"t{number}" for number in range(min(PART, trials))]
    for name in names:
        verdicts = pd.read_parquet(folder / "trials" / name / "verdicts.parquet")
        for score, (low, high) in GROUPS.items():
            own = verdicts[(verdicts["level"] >= low) & (verdicts["level"] <= high)]
            for problem, rows in own.groupby("problem"):
                right, n = int((rows["status"] == "correct").sum()), len(rows)
                key = name, score, problem
                values[(*key, "avg")] = right / n
                for k in (2, 4, 8, 16):
                    values[(*key, f"pass@{k}")] = 1 - math.comb(n - right, k) / math.comb(n, k)
                votes = Counter(vote for vote in rows["vote"] if vote is not None)
                most = max(votes.values())
                tied = sum(count == most for count in votes.values())
                values[(*key, "maj")] = (votes[0] == most) / tied
                values[(*key, "truncated")] = float((rows["finish"] == "length").mean())
                values[(*key, "no_answer")] = float((rows["rule"] == "no_answer").mean())
                values[(*key, "unfinished")] = float((rows["rule"] == "unfinished").mean())
                if (ended := rows["finish"] != "length").any():
                    values[(*key, "right_if_finished")] = float((rows["status"][ended] == "correct").mean())
                values[(*key, "undecided")] = float((rows["status"] == "undecided").mean())
                values[(*key, "tokens")] = float(rows["tokens"].mean())
    seconds = time.process_time() - start
    own = found.measures.filter(pl.col("trial").is_in(names))
    assert own.height == len(values)
    keys = own.select("trial", "score", "problem", "measure").rows()
    apart = max(abs(values[key] - value) for key, value in zip(keys, own["value"], strict=True))
    print(f"largest difference of {len(values):,} values by problem: {apart:.1e}")
    assert apart < 1e-9
    return seconds, seconds * trials / len(names)


def _plain_cells(found: Found) -> tuple[float, float]:
    """The two-way analysis of variance of a cell on each score; all cells are as large."""
    import pandas as pd
    import statsmodels.formula.api as smf
    from statsmodels.stats.anova import anova_lm

    count = found.cells.height // len(GROUPS)
    place = dict(zip(AXES, found.block.cells[0], strict=True))
    start, apart = time.process_time(), 0.0
    for score in GROUPS:
        first = found.cells.filter(pl.col("score") == score, *(pl.col(k) == v for k, v in place.items()))
        names = [f"t{seed}" for seed in found.block.seeds]
        rows = found.items.filter(pl.col("trial").is_in(names), pl.col("score") == score)
        data = pd.DataFrame(rows.select("trial", "problem", "accuracy").to_dict(as_series=False))
        anova = anova_lm(smf.ols("accuracy ~ C(trial) + C(problem)", data).fit())
        trained, single, rest = anova["mean_sq"].to_numpy()
        stderr = math.sqrt(max(trained + single - rest, trained, single) / len(data))
        apart = max(apart, abs(stderr - first["stderr"][0]))
    seconds = time.process_time() - start
    print(f"largest difference of standard errors: {apart:.1e}")
    assert apart < 1e-9
    return seconds, seconds * count


def _plain_contrasts(found: Found) -> tuple[float, float]:
    from scipy.stats import permutation_test

    rng, row = np.random.default_rng(0), found.contrasts.row(0, named=True)
    values = found.block.weighted(contrast_weights(found.block, wanted()[0]))
    r, n = values.shape
    start = time.process_time()
    means = [
        float(values[np.ix_(rng.integers(0, r, r), rng.integers(0, n, n))].mean()) for _ in range(REDRAWN)
    ]
    drawn = time.process_time() - start
    start = time.process_time()
    of_problem = values.mean(axis=0)
    flips = permutation_test(
        (of_problem, np.zeros(n)), lambda a, b, axis: np.mean(a - b, axis=axis), permutation_type="samples",
        vectorized=True, n_resamples=9999, rng=rng,
    )  # fmt: skip
    flipped = time.process_time() - start
    low, high = np.quantile(means, [0.025, 0.975])
    print(
        f"contrast {row['contrast']}: {row['effect']:+.4f}, plain {values.mean():+.4f}; bootstrap "
        f"[{row['low_boot']:.4f}, {row['high_boot']:.4f}], plain [{low:.4f}, {high:.4f}] of {REDRAWN} "
        f"draws; p by flips {row['p_flips']:.4f}, plain {flips.pvalue:.4f}"
    )
    assert abs(row["effect"] - values.mean()) < 1e-12
    return drawn + flipped, (drawn * 10_000 / REDRAWN + flipped) * found.contrasts.height


def _plain_curves(found: Found) -> tuple[float, float]:
    """Two forms with three parameters; the third, monotone, and what follows from curves are left out."""
    from scipy.optimize import curve_fit

    rng, x = np.random.default_rng(0), np.log(np.array(SIZES, dtype=float))
    line = _lines(found.block)[0]
    mean, error = line.mean(axis=(1, 2)), line.mean(axis=2).std(axis=1, ddof=1) / math.sqrt(line.shape[1])
    forms = {
        "power": (lambda x, a, b, c: a - b * np.exp(-c * x), (0.8, 1.0, 0.3)),
        "logistic": (lambda x, a, b, c: a / (1 + np.exp(-b * (x - c))), (0.8, 0.5, 5.0)),
    }
    start = time.process_time()
    for _ in range(FITTED):
        for form, guess in forms.values():
            with contextlib.suppress(RuntimeError):  # no convergence in 2,000 evaluations
                curve_fit(form, x, rng.normal(mean, error), guess, maxfev=2000)
    seconds = time.process_time() - start
    return seconds, seconds / FITTED * 400 * found.curves


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, count in (("trials", 1000), ("problems", 500), ("samples", 16)):
        parser.add_argument(f"--{name}", type=int, default=count)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder, clock = Path(made), Clock()
        start = time.perf_counter()
        write(folder, asked.trials, asked.problems, asked.samples)
        verdicts = asked.trials * asked.problems * asked.samples
        print(
            f"{verdicts:,} verdicts in {asked.trials} files, written in {time.perf_counter() - start:.0f} s"
        )
        print("| step | seconds | processor seconds | GB at most so far |")
        print("|---|---|---|---|")
        found = analysed(folder, clock)
        wall, cpu = (sum(row[place] for row in clock.rows) for place in (1, 2))
        print(f"| **all** | **{wall:.1f}** | **{cpu:.1f}** | **{clock.rows[-1][3]:.2f}** |")
        rows = plain(folder, found, asked.trials)
        print("| the plain way | processor seconds, part | the whole, extrapolated |")
        print("|---|---|---|")
        for name, (part, whole) in rows.items():
            print(f"| {name} | {part:.1f} | {whole:,.0f} |")
        whole = sum(seconds for _, seconds in rows.values())
        print(f"| **all** | | **{whole:,.0f}**, {whole / cpu:.0f} times as many |")


if __name__ == "__main__":
    main()
