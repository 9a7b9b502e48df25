"""The smallest effect that each contrast of a study would detect, from its trials and benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limo_ablate.study.contrast import Contrast
from limo_ablate.study.planned import PlannedTrial

if TYPE_CHECKING:
    from limo_ablate.sweep.plan.pilots import Pilots

MAX_PILOTS = 48
"""Most finished trials from which the noise is estimated."""


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
    flat: float | None
    """Accuracy of all finished trials, if they solved nothing (0) or everything (1), from which no noise can
    be estimated."""
    equivalence: float | None
    """Share of studies without a difference that would find the arms equivalent; null without a margin."""
    equivalence_seeds: int | None
    """Number of seeds with which that share would be 80 %; null: it is, or no number suffices."""

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
    """`done`: id of a finished trial -> its folder. Contrasts that lack an arm are left out, and those on
    likelihood, whose noise nothing tells beforehand.

    `cluster`: the study's; raises UserError where finished trials lack that column.
    """
    primary = [contrast for contrast in contrasts if contrast.primary]
    tested = sum(contrast.margin is not None for contrast in primary)
    return [
        found
        for contrast in contrasts
        if contrast.unit == "share"
        and (found := _detectable(contrast, trials, done, cluster, (len(primary), tested)))
    ]


def _detectable(
    contrast: Contrast,
    trials: Sequence[PlannedTrial],
    done: Mapping[str, Path],
    cluster: str | None,
    families: tuple[int, int],
) -> Detectable | None:
    """`families`: numbers of primary contrasts, and of those with a margin, over which alpha is shared."""
    from limo_ablate.sweep.plan.contrast_power import ContrastPower  # scipy

    block = [trial for trial in trials if contrast.block in trial.blocks]
    arms = _arms(contrast, block)
    if not arms or not all(own for _, own in arms):
        return None
    first, per_arm = arms[0][1], min(len(own) for _, own in arms)
    named = first[0].config.eval.benchmarks
    benchmarks = [named[name] for name in contrast.benchmarks if name in named]
    if len(benchmarks) < len(contrast.scores):
        return None
    over = _over(block)
    pilots = _pilots([trial for _, own in arms for trial in own], contrast, over, done, cluster)
    flat = pilots.accuracy if pilots and pilots.seen is None else None
    power = ContrastPower(
        contrast=contrast, weights=tuple(weight for weight, _ in arms), benchmarks=benchmarks,
        pilots=pilots if flat is None else None, accuracy=pilots.accuracy if pilots else contrast.accuracy,
        seeds=len({_drawn(trial, over) for trial in first}),
        trainings=len({trial.seed for trial in first}) if over != "seed" else 1,
        points=max(1, per_arm // len({(trial.seed, _drawn(trial, over)) for trial in first})),
        shared=families if contrast.primary else (1, 1),
    )  # fmt: skip
    equivalence, equivalence_seeds = power.equivalence()
    return Detectable(
        contrast, power.problems, power.counted, power.samples, per_arm, power.seeds, power.trainings, over,
        power.pilots.trials if power.pilots else 0, power.smallest(power.seeds), power.between(),
        power.seeds_needed(), power.samples_needed(), flat, equivalence, equivalence_seeds,
    )  # fmt: skip


def _arms(contrast: Contrast, block: Sequence[PlannedTrial]) -> list[tuple[float, list[PlannedTrial]]]:
    """Weight in the effect and trials of each arm; empty where `a` or `b` has none."""
    compared = contrast.compared(block, lambda trial: trial.levels)
    levels = [trial.levels[contrast.factor] for trial in compared]
    if contrast.a not in levels or contrast.b not in levels:
        return []
    keys = (contrast.factor, *contrast.interaction)
    own: dict[tuple[Any, ...], list[PlannedTrial]] = {}
    for trial in compared:
        own.setdefault(tuple(trial.levels[key] for key in keys), []).append(trial)
    return [(weight, own.get(arm, [])) for arm, weight in contrast.coefficients(levels).items()]


def _pilots(
    trials: Sequence[PlannedTrial],
    contrast: Contrast,
    over: str,
    done: Mapping[str, Path],
    cluster: str | None,
) -> Pilots | None:
    """None without enough finished trials, and of a mean over several scores: there, noise is assumed."""
    from limo_ablate.sweep.plan.pilots import measure  # polars

    ended = [trial for trial in trials if trial.id in done][:MAX_PILOTS]
    if len(ended) < 2 or len(contrast.scores) > 1:
        return None
    return measure(ended, done, contrast.scores[0], over, cluster)


def _over(block: Sequence[PlannedTrial]) -> str:
    from limo_ablate.analysis.replicates import replicate_axis  # polars

    axes = list(dict.fromkeys(key for trial in block for key in trial.levels))
    return replicate_axis(axes, [tuple(trial.levels.get(axis) for axis in axes) for trial in block]) or "seed"


def _drawn(trial: PlannedTrial, over: str) -> object:
    return trial.seed if over == "seed" else trial.levels.get(over)
