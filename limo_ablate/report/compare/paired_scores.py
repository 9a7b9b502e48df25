"""Scores of two arms, paired on problems, and on the seeds that both have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.analysis.crossed import DIFFERENCE, crossed
from limo_ablate.analysis.measures import BOUNDS, SELECTED, measures
from limo_ablate.core.errors import UserError
from limo_ablate.report.compare.arms import Arm

HEALTH = ("truncated", "no_answer", "unfinished", "undecided", "tokens")
"""Measures shown for whole benchmarks only, not for their groups."""
ALL = "all"
"""Stands for the seed if the arms have none in common."""


@dataclass(frozen=True, slots=True)
class ScoreDifference:
    """Difference of one measure of a score between the arms."""

    score: str
    measure: str
    """A measure of `measures.measures`: avg, pass@k, maj, or one of `HEALTH`."""
    a: float
    b: float
    """Means of the arms over the common seeds and problems."""
    low: float | None
    high: float | None
    """95 % confidence interval of b - a; None for a single problem or cluster."""
    p: float | None
    """Two-sided p-value."""
    problems: int
    seeds: int

    @property
    def difference(self) -> float:
        return self.b - self.a


@dataclass(frozen=True, slots=True)
class Flips:
    """Problems of a benchmark whose answers are mostly correct in one arm only."""

    benchmark: str
    only_a: list[tuple[str, float, float]]
    only_b: list[tuple[str, float, float]]
    """(problem, accuracy in a, accuracy in b), the largest differences first."""
    problems: int


@dataclass(frozen=True, slots=True)
class ScoreComparison:
    rows: list[ScoreDifference]
    flips: list[Flips]
    seeds: list[int]
    """Common seeds; if there are none, each arm is averaged over its seeds."""


def compare_scores(a: Arm, b: Arm) -> ScoreComparison:
    """The paired scores of two arms. Raises UserError if they answered no problem in common."""
    common = sorted({*a.seeds} & {*b.seeds})
    cluster = a.cluster if a.cluster == b.cluster else None
    sides = [_values(arm, common, cluster) for arm in (a, b)]
    keys = ["seed", "score", "measure", "problem"]
    paired = sides[0].join(sides[1], on=keys, suffix="_b", maintain_order="left")
    if paired.is_empty():
        raise UserError(f"{a} and {b} answered no problem in common")
    parts = paired.partition_by("score", "measure", maintain_order=True)
    kept = [part for part in parts if part["measure"][0] not in HEALTH or "/" not in part["score"][0]]
    rows = [_difference(part) for part in kept]
    benchmarks = [part for part in parts if part["measure"][0] == "avg" and "/" not in part["score"][0]]
    return ScoreComparison(rows, [_flips(part) for part in benchmarks], common)


def _values(arm: Arm, common: Sequence[int], cluster: str | None) -> pl.DataFrame:
    """seed, score, measure, problem, value (and cluster), for the common seeds or averaged over all."""
    seed = {trial.name: str(trial.seed) if common else ALL for trial in arm.trials}
    chosen = [trial for trial in arm.trials if not common or trial.seed in common]
    paired = measures(chosen, cluster).filter(pl.col("measure") != SELECTED)
    rows = paired.with_columns(seed=pl.col("trial").replace_strict(seed, return_dtype=pl.String))
    keys = ["seed", "score", "measure", "problem", *(["cluster"] if cluster else [])]
    return rows.group_by(keys, maintain_order=True).agg(pl.col("value").mean())


def _difference(part: pl.DataFrame) -> ScoreDifference:
    a, b = (_array(part, column) for column in ("value", "value_b"))
    clusters, low, high, p = _clusters(part), None, None, None
    if (a.shape[1] if clusters is None else clusters.max() + 1) > 1:
        bounds = (-np.inf, np.inf) if part["measure"][0] in BOUNDS else DIFFERENCE
        estimate = crossed((b - a)[None], clusters, bounds)
        (low,), (high,) = estimate.interval()
        (p,) = estimate.p_value()
    return ScoreDifference(
        score=part["score"][0],
        measure=part["measure"][0],
        a=float(a.mean()),
        b=float(b.mean()),
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        p=None if p is None else float(p),
        problems=a.shape[1],
        seeds=a.shape[0],
    )


def _array(part: pl.DataFrame, column: str) -> npt.NDArray[np.float64]:
    """(seeds, problems that all seeds have)."""
    return _wide(part, column).drop("problem").to_numpy().T


def _wide(part: pl.DataFrame, column: str) -> pl.DataFrame:
    return part.pivot("seed", index="problem", values=column, maintain_order=True).drop_nulls()


def _clusters(part: pl.DataFrame) -> npt.NDArray[np.int64] | None:
    """(problems that all seeds have,) numbers of their clusters from 0; None without clusters."""
    if "cluster" not in part.columns:
        return None
    of = part.unique("problem").select("problem", "cluster")
    named = _wide(part, "value").select("problem").join(of, on="problem", maintain_order="left")
    return (named["cluster"].rank("dense") - 1).cast(pl.Int64).to_numpy()


def _flips(part: pl.DataFrame) -> Flips:
    rows = part.group_by("problem", maintain_order=True).agg(pl.col("value", "value_b").mean())
    rows = rows.sort((pl.col("value") - pl.col("value_b")).abs(), descending=True, maintain_order=True)
    right_a, right_b = pl.col("value") >= 0.5, pl.col("value_b") >= 0.5
    return Flips(
        part["score"][0],
        rows.filter(right_a & ~right_b).rows(),
        rows.filter(right_b & ~right_a).rows(),
        rows.height,
    )


def score_facts(comparison: ScoreComparison) -> Mapping[str, object]:
    """The comparison in JSON types."""
    return {
        "common_seeds": comparison.seeds,
        "scores": [
            {name: getattr(row, name) for name in ScoreDifference.__slots__} | {"difference": row.difference}
            for row in comparison.rows
        ],
        "flips": [
            {
                "benchmark": flips.benchmark,
                "problems": flips.problems,
                **{side: [dict(zip(("problem", "a", "b"), one, strict=True)) for one in getattr(flips, side)]
                   for side in ("only_a", "only_b")},
            }
            for flips in comparison.flips
        ],
    }  # fmt: skip
