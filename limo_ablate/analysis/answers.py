"""What the trials of a study answered: all their verdicts in one pass, a row for each trial and problem."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from limo_ablate.analysis.trials import Trial, resolved
from limo_ablate.core.errors import UserError

SCHEMA: dict[str, Any] = {
    **dict.fromkeys(("benchmark", "problem"), pl.String),
    "level": pl.Float64,
    **dict.fromkeys(("source", "subject"), pl.String),
    "clean": pl.Boolean,
    **dict.fromkeys(("status", "rule", "finish"), pl.String),
    **dict.fromkeys(("tokens", "vote"), pl.Int64),
}
"""What is read of verdicts.parquet (docs/architecture.md); what a trial did not know is null."""
CLUSTERS = ("source", "subject")
"""Columns that say which problems belong together."""
READ: Any = SCHEMA | {"trial": pl.String, "place": pl.UInt32}
TOGETHER = 100
"""Trials whose verdicts are in memory at once."""
PLACED = {"trial": pl.String, "benchmark": pl.String, "score": pl.String, "low": pl.Float64,
          "high": pl.Float64, "only_clean": pl.Boolean}  # fmt: skip


def by_problem(
    trials: Sequence[Trial], wanted: dict[str, pl.Expr], cluster: str | None = None
) -> pl.DataFrame:
    """A row for each finished trial, benchmark and problem: these, level, clean, and what is `wanted`.

    `wanted` are aggregates over a problem's samples, by `SCHEMA`. `cluster` (`source`, `subject`) adds a
    column cluster with what a problem has there; raises UserError where a benchmark lacks it.
    """
    done = [trial for trial in trials if trial.metrics]
    parts = [_read(done[start : start + TOGETHER], wanted) for start in range(0, len(done), TOGETHER)]
    found = pl.concat(parts) if parts else _aggregated(pl.LazyFrame(schema=READ), wanted).drop("place")
    if cluster:
        found = found.with_columns(cluster=cluster)
        _check(found, cluster)
    return found.drop(CLUSTERS)


def _read(trials: Sequence[Trial], wanted: dict[str, pl.Expr]) -> pl.DataFrame:
    names = {str(trial.folder / "verdicts.parquet"): trial.name for trial in trials}
    verdicts = pl.scan_parquet(
        list(names), schema=SCHEMA, missing_columns="insert", extra_columns="ignore",
        row_index_name="place", include_file_paths="trial", glob=False,
    )  # fmt: skip
    found = _aggregated(verdicts, wanted).sort("place").drop("place")
    return found.with_columns(pl.col("trial").replace_strict(names, return_dtype=pl.String))


def _aggregated(verdicts: pl.LazyFrame, wanted: dict[str, pl.Expr]) -> pl.DataFrame:
    known = [pl.col(name).first() for name in ("place", "level", "clean", *CLUSTERS)]
    return (
        verdicts.group_by("trial", "benchmark", "problem").agg(*known, **wanted).collect(engine="streaming")
    )


def by_score(trials: Sequence[Trial], problems: pl.DataFrame) -> pl.DataFrame:
    """`problems` (of `by_problem`) again for each score that they are in: trial, score, problem and the rest.

    Scores are those of metrics.json: a benchmark, each of its groups, and its clean items where the
    contamination gate only reports.
    """
    placed = _scores([trial for trial in trials if trial.metrics])
    rows = placed.join(problems, on=["trial", "benchmark"], maintain_order="left_right")
    whole, within = pl.col("low").is_null(), pl.col("level").is_between("low", "high")
    rows = rows.filter((whole | within) & (~pl.col("only_clean") | pl.col("clean")))
    others = [
        name for name in problems.columns if name not in ("trial", "benchmark", "problem", "level", "clean")
    ]
    return rows.select("trial", "score", "problem", *others)


def _scores(trials: Sequence[Trial]) -> pl.DataFrame:
    """Which problems each score of a trial is about: all, a range of levels, the clean ones."""
    rows = []
    for trial in trials:
        for name, benchmark in resolved(trial.folder)["eval"]["benchmarks"].items():
            groups = (benchmark["groups"] or {}).items()
            parts = {name: (None, None, False)}
            parts |= {f"{name}/{group}": (*ends, False) for group, ends in groups}
            parts |= {f"{name}/clean": (None, None, True)}
            rows += [(trial.name, name, score, *part) for score, part in parts.items()]
    return pl.DataFrame(rows, schema=PLACED, orient="row")


def _check(problems: pl.DataFrame, cluster: str) -> None:
    for (benchmark,), part in problems.group_by("benchmark", maintain_order=True):
        lacking = part.filter(pl.col("cluster").is_null())
        if lacking.height:
            raise UserError(
                f"cluster={cluster}: {lacking['problem'].n_unique()} problems of benchmark {benchmark} have "
                f"no {cluster} in the verdicts of trial {lacking['trial'][0]}; take it out of study.yaml"
            )
        if part["cluster"].n_unique() < 2:
            raise UserError(
                f"cluster={cluster}: all problems of benchmark {benchmark} have the {cluster} "
                f"{part['cluster'][0]}; take it out of study.yaml"
            )


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
