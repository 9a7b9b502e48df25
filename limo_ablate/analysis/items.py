"""What each trial scored on each problem: the crossed layout that honest errors need."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from limo_ablate.analysis.answers import by_problem, by_score
from limo_ablate.analysis.trials import Trial


def items(trials: Iterable[Trial], cluster: str | None = None) -> pl.DataFrame:
    """A row for each finished trial, score and problem.

    Columns: trial, score, problem, accuracy (mean over samples), samples, and with `cluster` (`source`,
    `subject`) also cluster: which problems belong together, for every error that is drawn from this table.
    Scores are those of metrics.json: a benchmark, its groups, its clean items. Raises UserError where a
    benchmark lacks what is to be clustered by.
    """
    wanted = {"accuracy": (pl.col("status") == "correct").mean(), "samples": pl.len()}
    trials = list(trials)
    return by_score(trials, by_problem(trials, wanted, cluster))
