"""Accuracy of each trial on each problem, from the verdicts of all trials in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from limo_ablate.analysis.results import TRAJECTORY, VERDICTS
from limo_ablate.analysis.trials import Trial, resolved
from limo_ablate.core.errors import UserError
from limo_ablate.trial.evaluate.passes import SCORE

SCHEMA: dict[str, Any] = {
    **dict.fromkeys(("benchmark", "problem"), pl.String),
    "level": pl.Float64,
    **dict.fromkeys(("source", "subject"), pl.String),
    "clean": pl.Boolean,
    **dict.fromkeys(("status", "rule", "finish"), pl.String),
    **dict.fromkeys(("score", "log_likelihood"), pl.Float64),
    **dict.fromkeys(("tokens", "vote", "solution_tokens"), pl.Int64),
}
"""Columns read from verdicts.parquet (docs/architecture.md); null where a trial lacks one."""
CLUSTERS = ("source", "subject")
"""Columns that a study may cluster its problems by."""
STEP: dict[str, Any] = {"step": pl.Int64}
READ_SCHEMA: Any = SCHEMA | {"trial": pl.String, "place": pl.UInt32}
BATCH = 100
"""Number of trials whose verdicts are in memory at once."""
PER_TOKEN = (pl.col("log_likelihood") / pl.col("solution_tokens")).first()
"""Log-likelihood of a problem's gold solution, in nats per token; the same in all rows of its samples."""
SCORE_SCHEMA = {"trial": pl.String, "benchmark": pl.String, "score": pl.String, "low": pl.Float64,
          "high": pl.Float64, "only_clean": pl.Boolean}  # fmt: skip


def by_problem(
    trials: Sequence[Trial],
    aggregates: dict[str, pl.Expr],
    cluster: str | None = None,
    *,
    trajectory: bool = False,
) -> pl.DataFrame:
    """A row for each finished trial, benchmark and problem: these, level, clean, source, subject, and the
    aggregates. With `trajectory`, one for each step whose weights were scored (`eval.at`), and column step;
    all trials must have such.

    `aggregates` are expressions over a problem's samples (columns of `SCHEMA`). `cluster` (`source` or
    `subject`) adds the column cluster with the problem's value; raises UserError where a benchmark lacks it.
    """
    finished = [trial for trial in trials if trial.metrics]
    file, by = (TRAJECTORY, STEP) if trajectory else (VERDICTS, {})
    parts = [
        _read(finished[start : start + BATCH], aggregates, file, by)
        for start in range(0, len(finished), BATCH)
    ]
    empty = pl.LazyFrame(schema=READ_SCHEMA | by)
    rows = pl.concat(parts) if parts else _aggregated(empty, aggregates, by).drop("place")
    if cluster:
        rows = rows.with_columns(cluster=cluster)
        _check(rows, cluster)
    return rows


def _read(
    trials: Sequence[Trial], aggregates: dict[str, pl.Expr], file: str, by: dict[str, Any]
) -> pl.DataFrame:
    names = {str(trial.folder / file): trial.name for trial in trials}
    verdicts = pl.scan_parquet(
        list(names), schema=SCHEMA | by, missing_columns="insert", extra_columns="ignore",
        row_index_name="place", include_file_paths="trial", glob=False,
    )  # fmt: skip
    rows = _aggregated(verdicts, aggregates, by).sort("place").drop("place")
    return rows.with_columns(pl.col("trial").replace_strict(names, return_dtype=pl.String))


def _aggregated(verdicts: pl.LazyFrame, aggregates: dict[str, pl.Expr], by: dict[str, Any]) -> pl.DataFrame:
    known = [pl.col(name).first() for name in ("place", "level", "clean", *CLUSTERS)]
    return (
        verdicts.group_by("trial", "benchmark", "problem", *by)
        .agg(*known, **aggregates)
        .collect(engine="streaming")
    )


def by_score(trials: Sequence[Trial], problems: pl.DataFrame) -> pl.DataFrame:
    """The rows of `by_problem` once for each score that a problem counts in: trial, score, problem, the rest.

    Scores are those of metrics.json: a benchmark, each of its groups, and its clean items where the
    contamination gate only reports.
    """
    scores = _scores([trial for trial in trials if trial.metrics])
    rows = scores.join(problems, on=["trial", "benchmark"], maintain_order="left_right")
    whole, within = pl.col("low").is_null(), pl.col("level").is_between("low", "high")
    rows = rows.filter((whole | within) & (~pl.col("only_clean") | pl.col("clean")))
    own = ("trial", "benchmark", "problem", "level", "clean", *CLUSTERS)
    others = [name for name in problems.columns if name not in own]
    return rows.select("trial", "score", "problem", *others)


def _scores(trials: Sequence[Trial]) -> pl.DataFrame:
    """Which problems each score of a trial averages over: all, a range of levels, the clean ones."""
    rows = []
    for trial in trials:
        for name, benchmark in resolved(trial.folder)["eval"]["benchmarks"].items():
            groups = (benchmark["groups"] or {}).items()
            ranges = {name: (None, None, False)}
            ranges |= {f"{name}/{group}": (*ends, False) for group, ends in groups}
            ranges |= {f"{name}/clean": (None, None, True)}
            rows += [(trial.name, name, score, *part) for score, part in ranges.items()]
    return pl.DataFrame(rows, schema=SCORE_SCHEMA, orient="row")


def _check(problems: pl.DataFrame, cluster: str) -> None:
    for (benchmark,), part in problems.group_by("benchmark", maintain_order=True):
        missing = part.filter(pl.col("cluster").is_null())
        if missing.height:
            raise UserError(
                f"cluster={cluster}: {missing['problem'].n_unique()} problems of benchmark {benchmark} have "
                f"no {cluster} in the verdicts of trial {missing['trial'][0]}; take it out of study.yaml"
            )
        if part["cluster"].n_unique() < 2:
            raise UserError(
                f"cluster={cluster}: all problems of benchmark {benchmark} have the {cluster} "
                f"{part['cluster'][0]}; take it out of study.yaml"
            )


def items(trials: Iterable[Trial], cluster: str | None = None) -> pl.DataFrame:
    """A row for each finished trial, score and problem.

    Columns: trial, score, problem, accuracy (mean score of the samples), variance? (unbiased, of the
    samples' scores; null for one sample), finished? (share of samples that ended by themselves),
    right_finished? (mean score with 0 for those that did not), samples, likelihood? (of its gold solution,
    nats per token), solution_tokens?, and with `cluster` (`source` or `subject`) also cluster, which all
    errors computed from this table then account for. Scores are those of metrics.json: a benchmark, its
    groups, its clean items. Raises UserError if a benchmark lacks `cluster`.
    """
    finished = pl.col("finish") != "length"
    known = pl.when(finished.is_not_null())  # logs of other tools do not say how a completion ended
    aggregates = {
        "accuracy": SCORE.mean(),
        "variance": SCORE.var(),
        "finished": finished.mean(),
        "right_finished": known.then(SCORE * finished).mean(),
        "samples": pl.len(),
        "likelihood": PER_TOKEN,
        "solution_tokens": pl.col("solution_tokens").first(),
    }
    trials = list(trials)
    return by_score(trials, by_problem(trials, aggregates, cluster))
