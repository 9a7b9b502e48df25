"""Scores from n samples of each problem: avg@n, pass@k, maj@n, and the noise of decoding.

All are means over problems, with standard errors clustered by problem (Miller 2024, 2411.00640): problems
are sampled, and the samples of one problem are not independent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import mean, stdev

import polars as pl

from limo_ablate.trial.evaluate.votes import RIGHT

Scores = dict[str, float | int]


def passes(verdicts: pl.DataFrame) -> Scores:
    """`accuracy` (avg@n); with several samples also `pass@k` (k = 2, 4, 8, ... <= n), `maj@n`, `decoding_sd`.

    Only `correct` counts as right. All but `decoding_sd` have a `_stderr`; that of accuracy is `stderr`.
    """
    by_problem = verdicts.group_by("problem", maintain_order=True).agg(
        right=(pl.col("status") == "correct").sum(), samples=pl.len(), votes="vote"
    )
    right, samples, votes = (by_problem[name].to_list() for name in ("right", "samples", "votes"))
    fewest = min(samples)
    accuracy, stderr = clustered([c / n for c, n in zip(right, samples, strict=True)])
    result: Scores = {"accuracy": accuracy, "stderr": stderr}
    if fewest == 1:
        return result
    named = {
        f"pass@{k}": [pass_at(k, n, c) for n, c in zip(samples, right, strict=True)]
        for k in (2**power for power in range(1, fewest.bit_length()))
    }
    named[f"maj@{fewest}"] = [majority(problem_votes) for problem_votes in votes]
    for name, values in named.items():
        result[name], result[f"{name}_stderr"] = clustered(values)
    return {**result, "decoding_sd": decoding_sd(right, samples)}


def clustered(values: Sequence[float]) -> tuple[float, float]:
    """Mean of shares over problems, and its standard error: NaN for a single problem.

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


def decoding_sd(right: Sequence[int], samples: Sequence[int]) -> float:
    """Standard deviation of a single pass's accuracy on the same problems, due to sampling alone.

    Samples are independent, so the variances of the P problems add up: it is
    sqrt(sum of c (n - c) / (n (n - 1))) / P, where each term is the unbiased variance of a problem's n
    samples, c of them right.
    """
    variances = [c * (n - c) / (n * (n - 1)) for c, n in zip(right, samples, strict=True)]
    return math.sqrt(sum(variances)) / len(variances)
