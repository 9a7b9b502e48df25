"""The noise of a contrast, estimated from its finished trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from limo_ablate.analysis.answers import items
from limo_ablate.analysis.power import Noise, pilot_noise
from limo_ablate.analysis.trials import read_trial
from limo_ablate.study.contrast import measured
from limo_ablate.study.planned import PlannedTrial


@dataclass(frozen=True, slots=True)
class Pilots:
    trials: int
    accuracy: float
    """Mean over the trials."""
    problems: tuple[int, bool]
    """Number of problems, or of their clusters; and True, as it is known."""
    samples: int
    seen: Noise | None
    """Noise with that many samples of each problem; None where the trials solved nothing, or everything."""
    sampling: float
    """The part of `seen.completion` that more samples would reduce; with one sample of each, an upper
    bound."""

    def noise(self, samples: float) -> Noise:
        """The noise with another number of samples."""
        assert self.seen is not None
        shrunk = self.sampling * (1 - self.samples / samples)
        return replace(self.seen, completion=self.seen.completion - shrunk)


def measure(
    trials: Sequence[PlannedTrial], done: Mapping[str, Path], score: str, over: str, cluster: str | None
) -> Pilots | None:
    """Estimates the noise; None where the trials don't allow it, see `pilot_noise`. `over`: see `Detectable`.

    Raises UserError where a benchmark lacks the column `cluster`.
    """
    rows = _accuracies(trials, done, score, over, cluster)
    if rows.is_empty():
        return None
    samples = int(rows["samples"].min())  # type: ignore[arg-type]
    grouped = _by_cluster(rows) if cluster else rows
    mean, problems = float(rows["accuracy"].mean()), (grouped["problem"].n_unique(), True)  # type: ignore[arg-type]
    if mean in (0.0, 1.0):
        return Pilots(len(trials), mean, problems, samples, None, 0.0)
    noise = pilot_noise(grouped)
    if noise is None:
        return None
    single = grouped["problem"].n_unique() / rows["problem"].n_unique()
    if samples == 1:
        return Pilots(len(trials), mean, problems, samples, noise, noise.completion)
    sampling = min(noise.completion, float(rows["variance"].mean()) / samples * single)  # type: ignore[arg-type]
    return Pilots(len(trials), mean, problems, samples, noise, sampling)


def _accuracies(
    trials: Sequence[PlannedTrial], done: Mapping[str, Path], score: str, over: str, cluster: str | None
) -> pl.DataFrame:
    """arm (levels, without what is redrawn), trial, problem, accuracy, samples, and cluster where set."""
    arms = {trial.name: str({k: v for k, v in trial.levels.items() if k != over}) for trial in trials}
    read = [
        read_trial(
            done[c.id],
            {"name": c.name, "key": c.key, "seed": c.seed, "blocks": c.blocks, "overrides": c.levels},
        )
        for c in trials
    ]
    name, measure = measured(score)
    rows = items(read, cluster).filter(pl.col("score") == name)
    if measure == "finished":
        ended, several = pl.col("finished"), pl.col("samples") / (pl.col("samples") - 1)
        rows = rows.with_columns(accuracy=ended, variance=ended * (1 - ended) * several)
    return rows.with_columns(arm=pl.col("trial").replace_strict(arms, return_dtype=pl.String))


def _by_cluster(rows: pl.DataFrame) -> pl.DataFrame:
    """Clusters instead of problems, each with its share of the arm's mean, as `crossed.by_cluster` does."""
    problems, clusters = rows["problem"].n_unique(), rows["cluster"].n_unique()
    centred = rows.with_columns(mean=pl.col("accuracy").mean().over("arm"))
    return centred.group_by("arm", "trial", problem="cluster").agg(
        (pl.col("accuracy") - pl.col("mean")).sum() * clusters / problems + pl.col("mean").first()
    )
