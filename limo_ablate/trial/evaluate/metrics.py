"""Scores of a trial on a benchmark and its groups: accuracies, and the health of the completions."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from statistics import mean, stdev

import polars as pl

from limo_ablate.trial.evaluate.judge import judge_scores
from limo_ablate.trial.evaluate.passes import Scores, decoding_sd, passes, with_scores
from limo_ablate.trial.evaluate.probe import probe_scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The results of a model on a benchmark: tables with a column `problem`."""

    verdicts: pl.DataFrame
    again: pl.DataFrame | None = None
    """Verdicts of a second greedy pass."""
    judged: pl.DataFrame | None = None
    probed: pl.DataFrame | None = None

    def of(self, problems: pl.Series) -> Results:
        """The results on these problems only."""
        tables = {field.name: getattr(self, field.name) for field in fields(self)}
        wanted = pl.col("problem").is_in(problems.unique().to_list())
        return Results(**{name: table.filter(wanted) for name, table in tables.items() if table is not None})


def scores(results: Results) -> Scores:
    """One entry of `scores` in metrics.json; shares are 0..1. docs/evaluation.md says what each means."""
    verdicts = results.verdicts
    shares = verdicts.select(
        boxed=pl.col("boxed").mean(),
        lenient=pl.col("lenient").mean(),
        no_answer=(pl.col("rule") == "no_answer").mean(),
        unfinished=(pl.col("rule") == "unfinished").mean(),
        undecided=(pl.col("status") == "undecided").mean(),
        truncated=(pl.col("finish") == "length").mean(),
        loops=pl.col("loops").mean(),
        tokens=pl.col("tokens").mean(),
    ).row(0, named=True)
    problems = verdicts["problem"].n_unique()
    entry = {**passes(verdicts), **shares, "problems": problems, "samples": verdicts.height // problems}
    if "log_likelihood" in verdicts.columns:
        entry |= _likelihood_scores(verdicts)
    if results.again is not None:
        entry |= _rerun_scores(verdicts, results.again)
    if results.judged is not None:
        entry |= judge_scores(verdicts, results.judged)
    if results.probed is not None:
        entry |= probe_scores(results.probed)
    return entry


def benchmark_scores(
    name: str,
    results: Results,
    groups: Mapping[str, tuple[float, float]] | None,
    flagged: Collection[str] | None = None,
) -> dict[str, Scores]:
    """The scores of a benchmark and of each group of its problems (a range of their level).

    With `flagged`, the problems flagged by the contamination gate, also the scores of the clean problems.
    """
    verdicts = results.verdicts
    parts = {
        f"{name}/{group}": verdicts.filter(pl.col("level").is_between(low, high))["problem"]
        for group, (low, high) in (groups or {}).items()
    }
    if flagged is not None:
        parts[f"{name}/clean"] = verdicts.filter(~pl.col("problem").is_in(list(flagged)))["problem"]
    return {name: scores(results)} | {
        part: scores(results.of(problems)) for part, problems in parts.items() if len(problems)
    }


def _likelihood_scores(verdicts: pl.DataFrame) -> Scores:
    """Of the gold solutions that were measured: nats per token, nats per solution, their number."""
    own = verdicts.unique("problem", maintain_order=True).drop_nulls("log_likelihood")
    whole = own["log_likelihood"].to_list()
    per_token = [nats / tokens for nats, tokens in zip(whole, own["solution_tokens"], strict=True)]
    if not whole:
        return {"likelihood_problems": 0}
    return {
        "likelihood": mean(per_token),
        "likelihood_stderr": stdev(per_token) / math.sqrt(len(whole)) if len(whole) > 1 else math.nan,
        "likelihood_per_solution": mean(whole),
        "likelihood_problems": len(whole),
    }


def _rerun_scores(first: pl.DataFrame, second: pl.DataFrame) -> Scores:
    """Two greedy passes as two samples: `decoding_sd`, and the share of verdicts that differ."""
    pairs = with_scores(first).join(with_scores(second), on=["problem", "sample"], how="left", validate="1:1")
    change = pl.col("score_right") - pl.col("score")
    differs = (pl.col("status") != pl.col("status_right")) | (change != 0)
    return {
        "decoding_sd": decoding_sd(pairs.select(change**2 / 2).to_series().to_list()),
        "flips": pairs.select(differs.mean()).item(),
    }
