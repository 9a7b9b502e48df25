"""What each trial scored on each problem: the crossed layout that honest errors need."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from limo_ablate.effects.trials import Trial, resolved


def items(trials: Iterable[Trial]) -> pl.DataFrame:
    """A row for each finished trial, score and problem.

    Columns: trial, score, problem, accuracy (mean over samples), samples.
    Scores are those of metrics.json: a benchmark, and each of its groups with the problems in it.
    """
    parts = [part for trial in trials if trial.metrics for part in _scores(trial)]
    schema = {"trial": pl.String, "score": pl.String, "problem": pl.String, "accuracy": pl.Float64,
              "samples": pl.UInt32}  # fmt: skip
    return pl.concat(parts) if parts else pl.DataFrame(schema=schema)


def _scores(trial: Trial) -> list[pl.DataFrame]:
    columns = ["benchmark", "problem", "level", "status"]
    verdicts = pl.read_parquet(trial.folder / "verdicts.parquet", columns=columns)
    problems = verdicts.group_by("benchmark", "problem", maintain_order=True).agg(
        pl.col("level").first(), accuracy=(pl.col("status") == "correct").mean(), samples=pl.len()
    )
    parts = []
    for name, benchmark in resolved(trial.folder)["eval"]["benchmarks"].items():
        own = problems.filter(pl.col("benchmark") == name)
        parts.append(_named(own, trial, name))
        for group, (low, high) in (benchmark["groups"] or {}).items():
            parts.append(_named(own.filter(pl.col("level").is_between(low, high)), trial, f"{name}/{group}"))
    return parts


def _named(problems: pl.DataFrame, trial: Trial, score: str) -> pl.DataFrame:
    named = problems.with_columns(trial=pl.lit(trial.name), score=pl.lit(score))
    return named.select("trial", "score", "problem", "accuracy", "samples")
