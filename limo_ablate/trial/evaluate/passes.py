"""Scores from n samples of each problem: avg@n, pass@k, maj@n, and the noise of decoding.

A completion's score is 1 or 0, or a fraction where its grader gives part of the marks. Of fractions there are
no pass@k and no maj@n, which count right answers; of a grader without votes there is no maj@n.

All are means over problems, with standard errors clustered by problem (Miller 2024, 2411.00640): problems
are sampled, and the samples of one problem are not independent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import mean, stdev
from typing import TypeVar

import polars as pl

from limo_ablate.data.grade.votes import RIGHT

Scores = dict[str, float | int]
FRACTIONAL = "fractional"
"""Of the scores of a benchmark: there only (as true) where not all of its completions' scores are 0 or 1."""
SCORE = pl.coalesce("score", (pl.col("status") == "correct").cast(pl.Float64))
"""A completion's score, of a row of verdicts.parquet."""
IS_UNVOTED = (pl.col("status") == "correct") & pl.col("vote").is_null()
"""Whether its grader gives no classes of equal answers, so that there is no majority vote."""
IS_FRACTION = SCORE.is_between(0, 1, closed="none")


def word_of(fractional: bool) -> str:
    """What the mean of completions' scores is called."""
    return "score" if fractional else "accuracy"


Table = TypeVar("Table", pl.DataFrame, pl.LazyFrame)


def with_scores(verdicts: Table) -> Table:
    """The verdicts with `score` filled in; tables of earlier versions have no such column."""
    if "score" not in verdicts.collect_schema():
        verdicts = verdicts.with_columns(score=pl.lit(None, pl.Float64))
    return verdicts.with_columns(score=SCORE)


def passes(verdicts: pl.DataFrame) -> Scores:
    """`accuracy` (avg@n); with several samples also `pass@k` (k = 2, 4, 8, ... <= n), `maj@n`, `decoding_sd`.

    Accuracy is the mean score. All but `decoding_sd` have a `_stderr`; that of accuracy is `stderr`. Where
    scores are fractions there is `FRACTIONAL` instead of pass@k and maj@n.
    """
    by_problem = (
        with_scores(verdicts)
        .group_by("problem", maintain_order=True)
        .agg(
            mean=pl.col("score").mean(),
            right=(pl.col("score") == 1).sum(),
            variance=pl.col("score").var(),
            fractional=IS_FRACTION.any(),
            samples=pl.len(),
            votes="vote",
            unvoted=IS_UNVOTED.any(),
        )
    )
    right, samples, votes = (by_problem[name].to_list() for name in ("right", "samples", "votes"))
    fewest, fractional = min(samples), by_problem["fractional"].any()
    accuracy, stderr = clustered(by_problem["mean"].to_list())
    result: Scores = {"accuracy": accuracy, "stderr": stderr}
    if fractional:
        result[FRACTIONAL] = True
    if fewest == 1:
        return result
    named = {}
    if not fractional:
        for k in (2**power for power in range(1, fewest.bit_length())):
            named[f"pass@{k}"] = [pass_at(k, n, c) for n, c in zip(samples, right, strict=True)]
        if not by_problem["unvoted"].any():
            named[f"maj@{fewest}"] = [majority(problem_votes) for problem_votes in votes]
    for name, values in named.items():
        result[name], result[f"{name}_stderr"] = clustered(values)
    return {**result, "decoding_sd": decoding_sd(by_problem["variance"].to_list())}


def clustered(values: Sequence[float]) -> tuple[float, float]:
    """Mean of shares (or scores) over problems, and its standard error: NaN for a single problem.

    Where all problems have the same share, as in a model that solves none, it is that with two problems more,
    one never and one always solved (Agresti and Coull 1998): no number of problems makes it zero.
    """
    spread = [*values, 0.0, 1.0] if len(set(values)) == 1 else values
    stderr = stdev(spread) / math.sqrt(len(spread)) if len(values) > 1 else math.nan
    return mean(values), stderr


def pass_at(k: int, samples: int, right: int) -> float:
    """Unbiased probability that one of k samples is right (Chen et al. 2021, 2107.03374, eq. 1)."""
    return 1 - math.comb(samples - right, k) / math.comb(samples, k)


def majority(votes: Sequence[int | None]) -> float:
    """1 if the right answer has most votes, 0 if not, a share of 1 if it ties with others."""
    counts = Counter(vote for vote in votes if vote is not None)
    most = max(counts.values(), default=0)
    return (counts[RIGHT] == most) / list(counts.values()).count(most) if most else 0.0


def decoding_sd(variances: Sequence[float]) -> float:
    """Standard deviation of a single pass's accuracy on the same problems, due to sampling alone.

    `variances`: of each problem, the unbiased variance of its n samples' scores; c (n - c) / (n (n - 1))
    where c are right and the others wrong. Samples are independent, so the variances of the P problems add
    up: it is sqrt(sum of the variances) / P.
    """
    return math.sqrt(sum(variances)) / len(variances)
