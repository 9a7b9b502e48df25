"""Tuned points: of each search within a point, the trial that it was for."""

from __future__ import annotations

from collections.abc import Sequence

from limo_ablate.analysis.trials import Trial
from limo_ablate.study.block import Block
from limo_ablate.study.search.objectives import measured


def tuned(trials: Sequence[Trial], block: Block) -> list[Trial]:
    """Of a tuned block's finished trials, each point's best under each seed, by the tuning's score."""
    assert block.tune is not None
    sign = 1 if block.tune.direction == "maximize" else -1
    best: dict[str, tuple[float, Trial]] = {}
    for trial in trials:
        point = repr([trial.seed, *(trial.level_if_any(key) for key in block.factors())])
        value = sign * measured(trial.metrics or {}, block.tune.score)
        if point not in best or value > best[point][0]:
            best[point] = value, trial
    return [trial for _, trial in best.values()]
