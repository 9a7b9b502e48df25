"""Scores of one trial on one benchmark: avg@n and the health of its completions."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from statistics import mean, stdev

import polars as pl

Scores = dict[str, float | int]


def scores(verdicts: pl.DataFrame) -> Scores:
    """avg@n with a standard error clustered by problem (Miller 2024, 2411.00640), shares 0..1.

    `accuracy` counts `correct` only; `undecided` (could not be graded) is a share of its own.
    """
    correct = pl.col("status") == "correct"
    by_problem = verdicts.group_by("problem").agg(correct.mean().alias("accuracy"))["accuracy"].to_list()
    n = len(by_problem)
    stderr = stdev(by_problem) / math.sqrt(n) if n > 1 else math.nan
    shares = verdicts.select(
        boxed=pl.col("boxed").mean(),
        lenient=pl.col("lenient").mean(),
        no_answer=(pl.col("rule") == "no_answer").mean(),
        undecided=(pl.col("status") == "undecided").mean(),
        truncated=(pl.col("finish") == "length").mean(),
        tokens=pl.col("tokens").mean(),
    ).row(0, named=True)
    samples = verdicts.height // n
    return {
        "accuracy": mean(by_problem),
        "stderr": stderr,
        **shares,
        "problems": n,
        "samples": samples,
    }


def benchmark_scores(
    name: str,
    verdicts: pl.DataFrame,
    groups: Mapping[str, tuple[float, float]] | None,
    flagged: Collection[str] | None = None,
) -> dict[str, Scores]:
    """The scores of a benchmark and of each group of its problems (a range of their level).

    With `flagged`, the problems that the contamination gate found in the pool, also of the clean ones.
    """
    result = {name: scores(verdicts)}
    for group, (low, high) in (groups or {}).items():
        part = verdicts.filter(pl.col("level").is_between(low, high))
        if part.height:
            result[f"{name}/{group}"] = scores(part)
    if flagged is not None:
        clean = verdicts.filter(~pl.col("problem").is_in(list(flagged)))
        if clean.height:
            result[f"{name}/clean"] = scores(clean)
    return result
