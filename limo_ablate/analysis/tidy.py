"""A study's answers as one table for other analyses: a row for each trial, benchmark and problem."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from limo_ablate.analysis.answers import by_problem
from limo_ablate.analysis.table import factor_columns
from limo_ablate.analysis.trials import Trial
from limo_ablate.trial.evaluate.passes import SCORE

COUNTS = {
    "samples": pl.len(),
    "score": SCORE.mean(),
    "correct": (pl.col("status") == "correct").sum(),
    "finished": pl.when(pl.col("finish").is_not_null().all()).then((pl.col("finish") != "length").sum()),
    "tokens": pl.col("tokens").mean(),
    "log_likelihood": pl.col("log_likelihood").first(),
    "solution_tokens": pl.col("solution_tokens").first(),
}


def tidy_items(trials: Sequence[Trial], keys: Sequence[str]) -> pl.DataFrame:
    """A row for each finished trial, benchmark and problem; sorted by these.

    Columns: trial, seed, one for each of `keys` (null where a trial has no such key), benchmark, problem,
    level?, source?, subject?, clean?, samples, score (mean), correct and finished? (numbers of samples),
    tokens? (mean), log_likelihood? (nats, of the whole gold solution) and solution_tokens?, where
    `eval.likelihood` measures them.
    """
    finished = [trial for trial in trials if trial.metrics]
    factors = pl.DataFrame(
        {
            "trial": [trial.name for trial in finished],
            "seed": [trial.seed for trial in finished],
            **factor_columns(finished, keys),
        },
        strict=False,
    )
    rows = by_problem(finished, COUNTS)
    joined = factors.join(rows, on="trial", maintain_order="left")
    others = ["benchmark", "problem", "level", "source", "subject", "clean", *COUNTS]
    return joined.select(*factors.columns, *others).sort("trial", "benchmark", "problem")
