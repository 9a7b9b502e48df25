"""What a contrast could show as planned: the smallest difference that it detects, and equivalence."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from limo_ablate.analysis.power import POWER, Noise, equivalence_power, minimum_detectable_effect
from limo_ablate.study.contrast import Contrast, measured
from limo_ablate.sweep.plan.pilots import Pilots
from limo_ablate.sweep.plan.work import problem_count
from limo_ablate.trial.evaluate.config import BenchmarkConfig

TRIED_SEEDS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 64)
TRIED_SAMPLES = (2, 4, 8, 16, 32, 64, 128, 256)
"""The numbers among which the smallest sufficient one is searched for."""


@dataclass(frozen=True, kw_only=True)
class ContrastPower:
    """The planned trials of a contrast, see `detectable.Detectable`."""

    contrast: Contrast
    weights: tuple[float, ...]
    """Weight of each arm in the effect: -1 and 1 for two levels."""
    benchmarks: Sequence[BenchmarkConfig]
    """That of each score."""
    pilots: Pilots | None
    accuracy: float
    """Expected accuracy: that of the pilots, if there are any."""
    seeds: int
    trainings: int
    points: int
    """Number of points of the block's other axes that the contrast averages over."""
    shared: tuple[int, int]
    """Numbers of contrasts that share alpha, and of those that share it for the equivalence test."""

    @cached_property
    def _counts(self) -> list[tuple[int, bool]]:
        if self.pilots:
            return [self.pilots.problems]
        pairs = zip(self.benchmarks, self.contrast.scores, strict=True)
        return [group_problems(benchmark, measured(score)[0]) for benchmark, score in pairs]

    @property
    def problems(self) -> int:
        return sum(count for count, _ in self._counts)

    @property
    def counted(self) -> bool:
        return all(known for _, known in self._counts)

    @property
    def samples(self) -> int:
        return min(benchmark.samples for benchmark in self.benchmarks)

    def smallest(self, seeds: int, samples: float | None = None) -> float:
        """The smallest effect that is detected with so many seeds, and samples of each problem."""
        prior = Noise.prior(self.contrast.accuracy)
        noise = self.pilots.noise(samples or self.samples) if self.pilots else prior
        return self._smallest(noise, seeds, samples)

    def between(self) -> tuple[float, float]:
        if not self.pilots:
            return (self.smallest(self.seeds),) * 2
        low, high = (self._smallest(end, self.seeds) for end in self.pilots.noise(self.samples).likely())
        return low, high

    def seeds_needed(self) -> int | None:
        wanted = self.contrast.effect or 0.0
        return next((seeds for seeds in TRIED_SEEDS if wanted and self.smallest(seeds) < wanted), None)

    def samples_needed(self) -> int | None:
        """None where decoding is greedy, and of a mean over several scores."""
        wanted, sampled = self.contrast.effect, len(self.benchmarks) == 1 and self.benchmarks[0].temperature
        more = [count for count in TRIED_SAMPLES if wanted and sampled and count > self.samples]
        return next((count for count in more if self.smallest(self.seeds, count) < (wanted or 0.0)), None)

    def equivalence(self) -> tuple[float | None, int | None]:
        """(share of studies without a difference that find the arms equivalent, number of seeds for `POWER`);
        the second is None if the first is that large, or if no number suffices."""
        if self.contrast.margin is None:
            return None, None
        share = self._equivalent(self.seeds)
        more = [seeds for seeds in TRIED_SEEDS if seeds > self.seeds]
        if share >= POWER or not more:
            return share, None
        place = bisect_left(more, True, key=lambda seeds: self._equivalent(seeds) >= POWER)
        return share, more[place] if place < len(more) else None

    def _smallest(self, noise: Noise, seeds: int, samples: float | None = None) -> float:
        problems, drawn = self._size(samples)
        scale = math.sqrt(sum(weight**2 for weight in self.weights) / 2)
        return scale * minimum_detectable_effect(
            noise, problems, drawn, seeds, trainings=self._beside(seeds), points=self.points,
            contrasts=self.shared[0],
        )  # fmt: skip

    def _equivalent(self, seeds: int) -> float:
        assert self.contrast.margin is not None
        noise = self.pilots.noise(self.samples) if self.pilots else Noise.prior(self.accuracy)
        return equivalence_power(
            noise, self.accuracy, *self._size(), seeds, self.contrast.margin, weights=self.weights,
            trainings=self._beside(seeds), points=self.points, contrasts=self.shared[1],
        )  # fmt: skip

    def _beside(self, seeds: int) -> int:
        """Seeds that an axis of replicates is crossed with; where that has more levels, as many as these."""
        return max(self.trainings, seeds) if self.trainings > 1 and seeds != self.seeds else self.trainings

    def _size(self, samples: float | None = None) -> tuple[int, float]:
        """(problems, samples of each) that the noise is divided by; of a mean over several scores, those of
        one score with the same error. Noise from pilots is that with all samples."""
        if self.pilots:
            return self.problems, 1
        if samples:
            return self.problems, samples
        inverse = [1 / count for count, _ in self._counts]
        parts = zip(inverse, self.benchmarks, strict=True)
        sampled = sum(part / benchmark.samples for part, benchmark in parts)
        return round(len(inverse) ** 2 / sum(inverse)), sum(inverse) / sampled


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
