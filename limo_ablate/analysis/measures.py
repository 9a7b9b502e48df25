"""Measures of a problem's samples beside mean accuracy: pass@k, maj@n, truncation, tokens and others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import polars as pl

from limo_ablate.analysis.answers import PER_TOKEN, by_problem, by_score
from limo_ablate.analysis.crossed import SHARE
from limo_ablate.analysis.summary import means_with_errors
from limo_ablate.analysis.trials import Trial
from limo_ablate.study.folder import IMPORTED
from limo_ablate.trial.evaluate.passes import IS_FRACTION, IS_UNVOTED, SCORE, majority, pass_at

KEYS = ("trial", "score", "problem")
OF_GRADING = ("maj", "no_answer", "unfinished", "undecided")
"""Measures of what our grading says beside right and wrong."""
BOUNDS = {"tokens": (0.0, math.inf), "likelihood": (-math.inf, 0.0)}
"""Measures that are no shares: what their means are at least and at most."""
SELECTED = "right_if_finished"
"""The measure of which each trial has problems of its own."""


def measures(trials: Iterable[Trial], cluster: str | None = None) -> pl.DataFrame:
    """A row for each finished trial, score, problem and measure, with its mean over the problem's samples.

    Columns: trial, score, problem, measure, value (and cluster, as in `answers.items`). Measures:

    - `avg`: mean score of the samples; the share of correct ones, unless scores are fractions
    - `pass@2`, `pass@4`, ... up to the smallest number of samples of a problem in the benchmark: unbiased
      estimate of the probability that one of k samples is correct (Chen et al. 2021, 2107.03374)
    - `maj`: whether the majority vote is correct; like pass@k only with several samples, and not where
      scores are fractions (`evaluate.passes`)
    - `right_if_finished`: mean score of those samples that ended by themselves; none for a problem
      without one. Descriptive: which problems a model finishes is a selection of its own
    - `likelihood`: log-likelihood of the gold solution in nats per token, at most 0, where `eval.likelihood`
      measures it
    - `truncated`, `no_answer`, `unfinished`, `undecided`: shares; `tokens`: mean per completion

    Of imported logs there are `avg` and `pass@k`.
    """
    aggregates = {
        "avg": SCORE.mean(),
        "right": (pl.col("status") == "correct").sum(),
        "fractional": IS_FRACTION.any(),
        "ended": (pl.col("finish") != "length").sum(),
        "score_ended": (SCORE * (pl.col("finish") != "length")).sum(),
        "samples": pl.len(),
        "votes": pl.col("vote"),
        "unvoted": IS_UNVOTED.any(),
        "truncated": (pl.col("finish") == "length").mean(),
        "no_answer": (pl.col("rule") == "no_answer").mean(),
        "unfinished": (pl.col("rule") == "unfinished").mean(),
        "undecided": (pl.col("status") == "undecided").mean(),
        "tokens": pl.col("tokens").mean(),
        "likelihood": PER_TOKEN,
        IMPORTED: (pl.col("rule") == IMPORTED).all(),
    }
    trials = list(trials)
    problems = by_problem(trials, aggregates, cluster).with_columns(
        pl.when(pl.col("ended") > 0).then(pl.col("score_ended") / pl.col("ended")).alias(SELECTED)
    )
    problems = _with_passes(problems).with_columns(
        pl.when(~pl.col(IMPORTED)).then(pl.col(name)).alias(name) for name in OF_GRADING
    )
    passes = [name for name in problems.columns if name.startswith("pass@")]
    names = ["avg", *passes, "maj", SELECTED, "truncated", "no_answer", "unfinished", "undecided",
             "tokens", "likelihood"]  # fmt: skip
    index = [*KEYS, *(["cluster"] if cluster else [])]
    columns = ["benchmark", "level", "clean", *names, *(key for key in index if key != "score")]
    rows = by_score(trials, problems.select(columns))
    return rows.unpivot(names, index=index, variable_name="measure").drop_nulls("value")


def measure_means(
    table: pl.DataFrame,
    measures: pl.DataFrame,
    by: Sequence[str],
    over: Sequence[str] = ("seed",),
    level: float = 0.95,
) -> pl.DataFrame:
    """Mean of each cell and measure, with the confidence interval of `summary`.

    `table` and `measures` are the tables of these names for the same trials. Columns: `by`, score, measure,
    mean, stderr, low, high (within `BOUNDS`, and null where all are equal), seeds, problems. Cells
    are in the table's order, and measures within a cell in that of `measures`.
    """
    cell = [*by, "score", "measure"]
    levels = table.select(list(dict.fromkeys([*by, *over, "trial"]))).unique(maintain_order=True)
    parts = [
        means_with_errors(
            levels.join(part, on="trial", maintain_order="left_right"),
            cell,
            over,
            "value",
            level,
            BOUNDS.get(part["measure"][0], SHARE),
        )
        for part in measures.partition_by("score", "measure", maintain_order=True)
    ]
    if not parts:
        return pl.DataFrame()
    varied = pl.when(pl.col("low") < pl.col("high"))
    rows = pl.concat(parts).with_columns(varied.then("low").alias("low"), varied.then("high").alias("high"))
    cells = levels.select(by).unique(maintain_order=True)
    rows = cells.join(rows, on=list(by), nulls_equal=True, maintain_order="left_right") if by else rows
    return rows.select(*cell, "mean", "stderr", "low", "high", "seeds", "problems")


def _with_passes(rows: pl.DataFrame) -> pl.DataFrame:
    fewest = pl.when(~pl.col("fractional").any()).then(pl.col("samples").min()).otherwise(1)
    rows = rows.with_columns(fewest=fewest.over("trial", "benchmark"))
    several, most = pl.col("fewest") > 1, int(rows["fewest"].max() or 1)  # type: ignore[arg-type]
    for k in (2**power for power in range(1, most.bit_length())):
        name, enough = f"pass@{k}", pl.col("fewest") >= k
        values = _lookup_table(rows.filter(enough), ["samples", "right"], name, partial(pass_at, k))
        rows = rows.join(values, on=["samples", "right"], how="left", maintain_order="left")
        rows = rows.with_columns(pl.when(enough).then(name).alias(name))
    rows = rows.with_columns(pl.col("votes").list.sort())
    several &= ~pl.col("unvoted").any().over("trial", "benchmark")
    values = _lookup_table(rows.filter(several), ["votes"], "maj", majority)
    rows = rows.join(values, on="votes", how="left", maintain_order="left")
    return rows.with_columns(maj=pl.when(several).then("maj"))


def _lookup_table(
    rows: pl.DataFrame, keys: list[str], name: str, value: Callable[..., float]
) -> pl.DataFrame:
    """`keys` and `name`: the value for each combination of keys that occurs, computed once."""
    combinations = rows.select(keys).unique()
    return combinations.with_columns(
        pl.Series(name, [value(*row) for row in combinations.rows()], dtype=pl.Float64)
    )
