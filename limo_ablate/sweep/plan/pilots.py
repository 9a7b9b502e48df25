"""The noise of a contrast as its finished trials show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from limo_ablate.analysis.answers import items
from limo_ablate.analysis.power import Noise, pilot_noise
from limo_ablate.analysis.trials import read_trial
from limo_ablate.study.planned import PlannedTrial


@dataclass(frozen=True, slots=True)
class Pilots:
    trials: int
    problems: tuple[int, bool]
    """How many of them, or of their clusters; and that this is known."""
    samples: int
    seen: Noise
    """With that many samples of each problem."""
    sampling: float
    """Of `seen.completion`, the part that more samples would shrink: with one of each, at best all of it."""

    def noise(self, samples: int) -> Noise:
        """With another number of samples."""
        shrunk = self.sampling * (1 - self.samples / samples)
        return replace(self.seen, completion=self.seen.completion - shrunk)


def measured(
    trials: Sequence[PlannedTrial], done: Mapping[str, Path], score: str, over: str, cluster: str | None
) -> Pilots | None:
    """What finished trials say; None where they say nothing, see `pilot_noise`. `over`: see `Detectable`.

    Raises UserError where a benchmark lacks what `cluster` asks for.
    """
    rows = _accuracies(trials, done, score, over, cluster)
    if rows.is_empty():
        return None
    samples = int(rows["samples"].min())  # type: ignore[arg-type]
    grouped = _by_cluster(rows) if cluster else rows
    noise = pilot_noise(grouped)
    if noise is None:
        return None
    spread = rows.select((pl.col("accuracy") * (1 - pl.col("accuracy"))).mean()).item()
    single = grouped["problem"].n_unique() / rows["problem"].n_unique()
    sampling = noise.completion if samples == 1 else min(noise.completion, spread / (samples - 1) * single)
    return Pilots(len(trials), (grouped["problem"].n_unique(), True), samples, noise, sampling)


def _accuracies(
    trials: Sequence[PlannedTrial], done: Mapping[str, Path], score: str, over: str, cluster: str | None
) -> pl.DataFrame:
    """arm (levels, without what is drawn anew), trial, problem, accuracy, samples, and cluster if asked."""
    arms = {trial.name: str({k: v for k, v in trial.levels.items() if k != over}) for trial in trials}
    read = [
        read_trial(done[c.id], {"name": c.name, "seed": c.seed, "blocks": c.blocks, "overrides": c.levels})
        for c in trials
    ]
    rows = items(read, cluster).filter(pl.col("score") == score)
    return rows.with_columns(arm=pl.col("trial").replace_strict(arms, return_dtype=pl.String))


def _by_cluster(rows: pl.DataFrame) -> pl.DataFrame:
    """Clusters in the place of problems, each with its share of the arm's mean, as `crossed.by_cluster`."""
    problems, clusters = rows["problem"].n_unique(), rows["cluster"].n_unique()
    centred = rows.with_columns(mean=pl.col("accuracy").mean().over("arm"))
    return centred.group_by("arm", "trial", problem="cluster").agg(
        (pl.col("accuracy") - pl.col("mean")).sum() * clusters / problems + pl.col("mean").first()
    )
