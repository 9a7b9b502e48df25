"""The smallest effect that each contrast of a study would detect, from its trials and benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from limo_ablate.study.contrast import Contrast
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.plan.work import problem_count
from limo_ablate.trial.evaluate.config import BenchmarkConfig

if TYPE_CHECKING:
    from limo_ablate.sweep.plan.pilots import Pilots

MAX_PILOTS = 48
"""Most finished trials from which the noise is estimated."""
TRIED_SEEDS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 64)
TRIED_SAMPLES = (2, 4, 8, 16, 32, 64, 128, 256)
"""The numbers among which the smallest sufficient one is searched for."""


@dataclass(frozen=True, slots=True)
class Detectable:
    contrast: Contrast
    problems: int
    """Number of problems; of their clusters, where pilots show how many there are."""
    counted: bool
    """Whether the number of problems of a group is known; else that of the whole benchmark is used."""
    samples: int
    trials: int
    """Number of trials in each arm."""
    seeds: int
    """Number of seeds; or of levels of the axis that redraws subsets or base models."""
    trainings: int
    """Number of seeds that such an axis is crossed with; 1 without one."""
    over: str
    """Key of what is redrawn: `seed`, `select.seed`."""
    pilots: int
    """Number of finished trials from which the noise is estimated; 0: it is assumed."""
    effect: float
    """The smallest difference in accuracy that would be detected."""
    between: tuple[float, float]
    """(least, most) of the same over the 80 % interval that pilots leave of the noise between trainings;
    without pilots both are `effect`."""
    seeds_needed: int | None
    """Number of seeds (and, where there are several `trainings`, at least as many of those) with which the
    wanted effect would be detected; null: no number suffices, or no effect is wanted."""
    samples_needed: int | None
    """The same for samples of each problem, which do not help where decoding is greedy; a lower bound where
    pilots have one sample of each."""

    @property
    def blind(self) -> bool:
        """Whether the effect that the contrast is made for would not be detected."""
        return self.effect >= (self.contrast.effect or 1.0)


def detectable(
    contrasts: Sequence[Contrast],
    trials: Sequence[PlannedTrial],
    done: Mapping[str, Path],
    cluster: str | None = None,
) -> list[Detectable]:
    """`done`: id of a finished trial -> its folder. Contrasts that lack an arm are left out.

    `cluster`: the study's; raises UserError where finished trials lack that column.
    """
    primary = sum(contrast.primary for contrast in contrasts)
    return [
        found
        for contrast in contrasts
        if (found := _detectable(contrast, trials, done, cluster, primary if contrast.primary else 1))
    ]


def _detectable(
    contrast: Contrast,
    trials: Sequence[PlannedTrial],
    done: Mapping[str, Path],
    cluster: str | None,
    shared: int,
) -> Detectable | None:
    from limo_ablate.analysis.power import Noise, minimum_detectable_effect  # scipy

    block = [trial for trial in trials if contrast.block in trial.blocks]
    compared = contrast.compared(block, lambda trial: trial.levels)
    arms = [[c for c in compared if c.levels[contrast.factor] == at] for at in (contrast.a, contrast.b)]
    benchmark = all(arms) and arms[0][0].config.eval.benchmarks.get(contrast.score.partition("/")[0])
    if not benchmark:
        return None
    over = _over(block)
    seeds, per_arm = len({_drawn(c, over) for c in arms[0]}), min(map(len, arms))
    trainings = len({c.seed for c in arms[0]}) if over != "seed" else 1
    points = max(1, per_arm // len({(c.seed, _drawn(c, over)) for c in arms[0]}))
    pilots = _pilots([c for arm in arms for c in arm], contrast.score, over, done, cluster)
    count, counted = pilots.problems if pilots else group_problems(benchmark, contrast.score)
    prior, used = Noise.prior(contrast.accuracy), benchmark.samples

    def smallest(replicates: int, samples: int, beside: int = trainings) -> float:
        noise, drawn = (pilots.noise(samples), 1) if pilots else (prior, samples)
        return minimum_detectable_effect(
            noise, count, drawn, replicates, trainings=beside, points=points, contrasts=shared
        )

    def enough(replicates: int) -> bool:
        beside = max(trainings, replicates) if trainings > 1 else 1
        return smallest(replicates, used, beside) < wanted

    ends = (smallest(seeds, used),) * 2
    if pilots:
        low, high = (
            minimum_detectable_effect(
                noise, count, 1, seeds, trainings=trainings, points=points, contrasts=shared
            )
            for noise in pilots.noise(used).likely()
        )
        ends = (low, high)
    wanted = contrast.effect or 0.0
    more = [k for k in TRIED_SAMPLES if k > used] if benchmark.temperature else []
    return Detectable(
        contrast, count, counted, used, per_arm, seeds, trainings, over, pilots.trials if pilots else 0,
        smallest(seeds, used), ends,
        next((s for s in TRIED_SEEDS if wanted and enough(s)), None),
        next((k for k in more if wanted and smallest(seeds, k) < wanted), None),
    )  # fmt: skip


def _pilots(
    trials: Sequence[PlannedTrial], score: str, over: str, done: Mapping[str, Path], cluster: str | None
) -> Pilots | None:
    from limo_ablate.sweep.plan.pilots import measure  # polars

    ended = [trial for trial in trials if trial.id in done][:MAX_PILOTS]
    return measure(ended, done, score, over, cluster) if len(ended) > 1 else None


def _over(block: Sequence[PlannedTrial]) -> str:
    from limo_ablate.analysis.replicates import replicate_axis  # polars

    axes = list(dict.fromkeys(key for trial in block for key in trial.levels))
    return replicate_axis(axes, [tuple(trial.levels.get(axis) for axis in axes) for trial in block]) or "seed"


def _drawn(trial: PlannedTrial, over: str) -> object:
    return trial.seed if over == "seed" else trial.levels.get(over)


def group_problems(benchmark: BenchmarkConfig, score: str) -> tuple[int, bool]:
    """(number of problems of a score, whether it is known): of the benchmark, or of a group of its levels."""
    group = score.partition("/")[2]
    if not group:
        return problem_count(benchmark), True
    made, within = benchmark.miniature, (benchmark.groups or {}).get(group)
    if made is None or within is None:
        return problem_count(benchmark), False
    levels = range(made.levels[0], made.levels[1] + 1)
    return made.per_level * sum(within[0] <= level <= within[1] for level in levels), True
