"""Accuracy of trainings on their way (`eval.at`), and what choosing the best point on the test set is
worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.analysis.answers import by_problem, by_score
from limo_ablate.analysis.crossed import DIFFERENCE, SHARE
from limo_ablate.analysis.summary import means_with_errors
from limo_ablate.analysis.trials import Trial
from limo_ablate.trial.evaluate.passes import SCORE

Array = npt.NDArray[np.float64]
FOLDS, PARTITIONS = 5, 20
"""Folds of a cross-fit, and random partitions it is averaged over. With two folds a rule that chooses on half
of the problems would seem worse than it is where points differ (benchmarks/calibration.py --trajectory)."""
ACCURACIES, CHOICE = ("last", "best", "cross_fitted"), ("optimism", "best_gain", "cross_fitted_gain")
"""Columns of `choice`; those of the second have an interval."""


def trajectory_items(trials: Sequence[Trial], cluster: str | None = None) -> pl.DataFrame:
    """A row for each trial with a trajectory, point, score and problem.

    Columns: trial, seed, step, epoch, tokens (trained so far), score, problem, accuracy (mean score of the
    samples), and cluster as in `answers.items`.
    """
    own = [trial for trial in trials if (trial.metrics or {}).get("trajectory")]
    points = [
        {"trial": trial.name, "seed": trial.seed, **{key: point[key] for key in ("step", "epoch", "tokens")}}
        for trial in own
        for point in (trial.metrics or {})["trajectory"]["points"]
    ]
    schema = {"trial": pl.String, "seed": pl.Int64, "step": pl.Int64, "epoch": pl.Float64, "tokens": pl.Int64}
    aggregates = {"accuracy": SCORE.mean()}
    rows = by_score(own, by_problem(own, aggregates, cluster, trajectory=True))
    return pl.DataFrame(points, schema=schema).join(rows, on=["trial", "step"], maintain_order="left_right")


def trajectory_means(rows: pl.DataFrame, by: Sequence[str], level: float = 0.95) -> pl.DataFrame:
    """Mean accuracy at each epoch of each combination of `by` (columns of `rows`, as of `trajectory_items`).

    Columns: `by`, score, epoch, tokens (mean), seeds, problems, and mean, stderr, low, high of
    `summary.summary`.
    """
    cell = [*by, "score", "epoch"]
    rows = rows.with_columns(pl.col("epoch").round(4))
    tokens = rows.group_by(cell).agg(pl.col("tokens").mean())
    found = means_with_errors(rows, cell, ["seed"], "accuracy", level)
    joined = found.join(tokens, on=cell, nulls_equal=True, maintain_order="left").sort(
        "epoch", maintain_order=True
    )
    return joined.select(*cell, "tokens", "seeds", "problems", "mean", "stderr", "low", "high")


def choice(rows: pl.DataFrame, level: float = 0.95) -> pl.DataFrame:
    """What it is worth to report each training's best point, chosen on the problems that it is scored on.

    `rows`: as of `trajectory_items`. A row for each score: trials, last, best (mean accuracy over trials of
    the last and of the best point), cross_fitted: the same of the point that is best on four fifths of the
    problems (or clusters), scored on the others; and `optimism` = best - cross_fitted, `best_gain` = best -
    last, `cross_fitted_gain` = cross_fitted - last, each with `_low` and `_high` over seeds and problems.
    """
    parts = [
        part.with_columns(score=pl.lit(score), trial=pl.lit(trial), seed=pl.lit(own["seed"][0]))
        for (score, trial), own in rows.group_by("score", "trial", maintain_order=True)
        if (part := _choice_of_training(own)) is not None
    ]
    if not parts:
        return pl.DataFrame()
    table = pl.concat(parts)
    found = table.group_by("score", maintain_order=True).agg(trials=pl.col("trial").n_unique())
    for name in (*ACCURACIES, *CHOICE):
        bounds = SHARE if name in ACCURACIES else DIFFERENCE
        numbers = means_with_errors(table, ["score"], ["seed"], name, level, bounds).select(
            "score",
            pl.col("mean").alias(name),
            pl.col("low").alias(f"{name}_low"),
            pl.col("high").alias(f"{name}_high"),
        )
        found = found.join(numbers, on="score", maintain_order="left")
    return found.drop(f"{name}_{end}" for name in ACCURACIES for end in ("low", "high"))


def _choice_of_training(own: pl.DataFrame) -> pl.DataFrame | None:
    """problem, cluster? and the values of `choice` on each problem; None with one point or cluster."""
    wide = own.sort("step").pivot("step", index="problem", values="accuracy").drop_nulls().sort("problem")
    known = own.select("problem", *(["cluster"] if "cluster" in own.columns else [])).unique("problem")
    names = wide.select("problem").join(known, on="problem", maintain_order="left")
    if wide.width < 3 or names.to_series(-1).n_unique() < 2:
        return None
    points = wide.drop("problem").to_numpy().T
    best, last = points[points.sum(axis=1).round(9).argmax()], points[-1]
    fitted = cross_fitted(points, names.to_series(-1).rank("dense").to_numpy() - 1)
    values = {
        "last": last, "best": best, "cross_fitted": fitted, "optimism": best - fitted,
        "best_gain": best - last, "cross_fitted_gain": fitted - last,
    }  # fmt: skip
    return names.with_columns(**{name: pl.Series(value) for name, value in values.items()})


def cross_fitted(points: Array, codes: npt.NDArray[np.int64]) -> Array:
    """(n,) accuracy on each problem of the point that is best on the folds without it, the earliest where
    several are; mean over `PARTITIONS`. `points` (P, n), `codes` (n,) cluster of each problem."""
    rng, clusters = np.random.default_rng(0), int(codes.max()) + 1
    folds, found = min(FOLDS, clusters), np.zeros(points.shape[1])
    for _ in range(PARTITIONS):
        fold = (rng.permutation(clusters) % folds)[codes]
        within = points @ (fold[:, None] == np.arange(folds))
        chosen = (points.sum(axis=1, keepdims=True) - within).round(9).argmax(axis=0)
        found += points[chosen[fold], np.arange(points.shape[1])]
    return found / PARTITIONS
