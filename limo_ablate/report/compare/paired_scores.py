"""Two arms' scores side by side, paired on problems, and on seeds where both have the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.analysis.crossed import crossed
from limo_ablate.analysis.measures import measures
from limo_ablate.core.errors import UserError
from limo_ablate.report.compare.arms import Arm

HEALTH = ("truncated", "no_answer", "undecided", "tokens")
"""Measures of a benchmark that are told of the whole benchmark, not of its groups."""
ALL = "all"
"""In place of a seed, where the arms have none in common."""


@dataclass(frozen=True, slots=True)
class ScoreDifference:
    """One measure of a score."""

    score: str
    measure: str
    """As `effects.measures` has them: avg, pass@k, maj, truncated, no_answer, undecided, tokens."""
    a: float
    b: float
    """Means over the common seeds and problems."""
    low: float | None
    high: float | None
    """95 % interval of b - a; null for a single problem, or a single cluster of them."""
    p: float | None
    """Two-sided."""
    problems: int
    seeds: int

    @property
    def difference(self) -> float:
        return self.b - self.a


@dataclass(frozen=True, slots=True)
class Flips:
    """Problems of a benchmark that are mostly right in one arm only."""

    benchmark: str
    only_a: list[tuple[str, float, float]]
    only_b: list[tuple[str, float, float]]
    """(problem, share right in a, in b), the largest differences first."""
    problems: int


@dataclass(frozen=True, slots=True)
class ScoreComparison:
    rows: list[ScoreDifference]
    flips: list[Flips]
    seeds: list[int]
    """Common ones; without any, each arm's trainings are taken together."""


def compare_scores(a: Arm, b: Arm) -> ScoreComparison:
    """Raises UserError when the arms have no benchmark in common."""
    common = sorted({*a.seeds} & {*b.seeds})
    cluster = a.cluster if a.cluster == b.cluster else None
    sides = [_values(arm, common, cluster) for arm in (a, b)]
    keys = ["seed", "score", "measure", "problem"]
    paired = sides[0].join(sides[1], on=keys, suffix="_b", maintain_order="left")
    if paired.is_empty():
        raise UserError(f"{a} and {b} answered no problem in common")
    parts = paired.partition_by("score", "measure", maintain_order=True)
    kept = [part for part in parts if part["measure"][0] not in HEALTH or "/" not in part["score"][0]]
    rows = [_compared(part) for part in kept]
    benchmarks = [part for part in parts if part["measure"][0] == "avg" and "/" not in part["score"][0]]
    return ScoreComparison(rows, [_flips(part) for part in benchmarks], common)


def _values(arm: Arm, common: Sequence[int], cluster: str | None) -> pl.DataFrame:
    """seed, score, measure, problem, value (and cluster): of the common seeds, or of all together."""
    seed = {trial.name: str(trial.seed) if common else ALL for trial in arm.trials}
    wanted = [trial for trial in arm.trials if not common or trial.seed in common]
    rows = measures(wanted, cluster).with_columns(
        seed=pl.col("trial").replace_strict(seed, return_dtype=pl.String)
    )
    keys = ["seed", "score", "measure", "problem", *(["cluster"] if cluster else [])]
    return rows.group_by(keys, maintain_order=True).agg(pl.col("value").mean())


def _compared(part: pl.DataFrame) -> ScoreDifference:
    a, b = (_array(part, column) for column in ("value", "value_b"))
    clusters, low, high, p = _clusters(part), None, None, None
    if (a.shape[1] if clusters is None else clusters.max() + 1) > 1:
        found = crossed((b - a)[None], clusters)
        (low,), (high,) = found.interval()
        (p,) = found.p_value()
        if part["measure"][0] != "tokens":  # a difference of shares
            low, high = max(low, -1.0), min(high, 1.0)
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
    """(seeds, problems that all of them have)."""
    return _wide(part, column).drop("problem").to_numpy().T


def _wide(part: pl.DataFrame, column: str) -> pl.DataFrame:
    return part.pivot("seed", index="problem", values=column, maintain_order=True).drop_nulls()


def _clusters(part: pl.DataFrame) -> npt.NDArray[np.int64] | None:
    """(problems that all seeds have,) numbers from 0, where problems belong together."""
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


def score_facts(found: ScoreComparison) -> Mapping[str, object]:
    """As JSON."""
    return {
        "common_seeds": found.seeds,
        "scores": [
            {name: getattr(row, name) for name in ScoreDifference.__slots__} | {"difference": row.difference}
            for row in found.rows
        ],
        "flips": [
            {
                "benchmark": flips.benchmark,
                "problems": flips.problems,
                **{side: [dict(zip(("problem", "a", "b"), one, strict=True)) for one in getattr(flips, side)]
                   for side in ("only_a", "only_b")},
            }
            for flips in found.flips
        ],
    }  # fmt: skip
