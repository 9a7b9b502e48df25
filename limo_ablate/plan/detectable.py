"""What the contrasts of a study could see: its cells and benchmarks put into `effects.power`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from limo_ablate.config import BenchmarkConfig
from limo_ablate.contrast import Contrast
from limo_ablate.plan.work import problems
from limo_ablate.study.cells import Cell

if TYPE_CHECKING:
    import polars as pl

    from limo_ablate.effects.power import Noise

MOST_PILOTS = 48
"""Finished trials that the noise is measured on."""
TRIED_SEEDS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 64)
"""How many would do is looked for among these."""


@dataclass(frozen=True, slots=True)
class Detectable:
    contrast: Contrast
    problems: int
    counted: bool
    """Whether the problems of a group are known; else all of the benchmark stand in for them."""
    samples: int
    trials: int
    """An arm."""
    seeds: int
    pilots: int
    """Finished trials that say how large the noise is; 0: it is assumed."""
    noise: Noise
    effect: float
    """The smallest difference of accuracy that would be seen."""
    seeds_needed: int | None
    """With which the wanted effect would be seen; null: with none, or nothing is wanted."""

    @property
    def blind(self) -> bool:
        """Whether what it is made for can't be seen."""
        return self.effect >= (self.contrast.effect or 1.0)


def detectable(
    contrasts: Sequence[Contrast], cells: Sequence[Cell], done: Mapping[str, Path]
) -> list[Detectable]:
    """`done`: id of a finished cell -> its trial's folder. Contrasts that lack an arm are left out."""
    primary = sum(contrast.primary for contrast in contrasts)
    return [
        found
        for contrast in contrasts
        if (found := _detectable(contrast, cells, done, primary if contrast.primary else 1))
    ]


def _detectable(
    contrast: Contrast, cells: Sequence[Cell], done: Mapping[str, Path], shared: int
) -> Detectable | None:
    from limo_ablate.effects.power import Noise, minimum_detectable_effect, pilot_noise  # polars

    arms = [
        [c for c in cells if contrast.block in c.blocks and c.levels.get(contrast.factor) == level]
        for level in (contrast.a, contrast.b)
    ]
    if not all(arms):
        return None
    name = contrast.score.partition("/")[0]
    benchmark = arms[0][0].config.eval.benchmarks.get(name)
    if benchmark is None:
        return None
    count, counted = group_problems(benchmark, contrast.score)
    seeds, trials = len({c.seed for c in arms[0]}), min(map(len, arms))
    pilots = [c for arm in arms for c in arm if c.id in done][:MOST_PILOTS]
    noise = pilot_noise(_accuracies(pilots, done, contrast.score)) if len(pilots) > 1 else None
    samples = benchmark.samples if noise is None else 1

    wanted, points = contrast.effect, max(1, trials // seeds)

    def smallest(replicates: int) -> float:
        used = noise or Noise.prior(contrast.accuracy)
        return minimum_detectable_effect(used, count, samples, replicates, points=points, contrasts=shared)

    enough = (s for s in TRIED_SEEDS if wanted and smallest(s) < wanted)
    return Detectable(
        contrast, count, counted, benchmark.samples, trials, seeds, len(pilots) if noise else 0,
        noise or Noise.prior(contrast.accuracy), smallest(seeds), next(enough, None),
    )  # fmt: skip


def group_problems(benchmark: BenchmarkConfig, score: str) -> tuple[int, bool]:
    """(problems of a score, whether that is known): all of the benchmark, or those of a range of levels."""
    group = score.partition("/")[2]
    if not group:
        return problems(benchmark), True
    made, within = benchmark.miniature, (benchmark.groups or {}).get(group)
    if made is None or within is None:
        return problems(benchmark), False
    levels = range(made.levels[0], made.levels[1] + 1)
    return made.per_level * sum(within[0] <= level <= within[1] for level in levels), True


def _accuracies(pilots: Iterable[Cell], done: Mapping[str, Path], score: str) -> pl.DataFrame:
    """What pilots scored on each problem: arm (their levels), trial, problem, accuracy."""
    import polars as pl

    name, _, group = score.partition("/")
    parts = []
    for cell in pilots:
        levels = (cell.config.eval.benchmarks[name].groups or {}).get(group)
        verdicts = pl.read_parquet(done[cell.id] / "verdicts.parquet").filter(pl.col("benchmark") == name)
        if levels:
            verdicts = verdicts.filter(pl.col("level").is_between(*levels))
        right = verdicts.group_by("problem").agg(accuracy=(pl.col("status") == "correct").mean())
        parts.append(
            right.select(
                pl.lit(str(cell.levels)).alias("arm"), pl.lit(cell.name).alias("trial"), "problem", "accuracy"
            )
        )
    return pl.concat(parts)
