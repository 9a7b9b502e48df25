"""Whatever else a trial's samples of a problem say than their mean: pass@k, maj@n, health, tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import polars as pl

from limo_ablate.analysis.answers import by_problem, by_score
from limo_ablate.analysis.summary import means_with_errors
from limo_ablate.analysis.trials import Trial
from limo_ablate.trial.evaluate.passes import majority, pass_at

KEYS = ("trial", "score", "problem")


def measures(trials: Iterable[Trial], cluster: str | None = None) -> pl.DataFrame:
    """A row for each finished trial, score, problem and measure, with its mean over the problem's samples.

    Columns: trial, score, problem, measure, value (and cluster, as in `effects.items`). Measures:

    - `avg`: share right; `pass@2`, `pass@4`, ... up to the fewest samples of a problem of the benchmark:
      chance that one of k is right, without bias (Chen et al. 2021, 2107.03374); `maj`: whether most votes
      are right. The last two are those of `evaluate.passes`, where there are several samples.
    - `truncated`, `no_answer`, `undecided`: shares; `tokens`: mean of a completion.
    """
    wanted = {
        "right": (pl.col("status") == "correct").sum(),
        "samples": pl.len(),
        "votes": pl.col("vote"),
        "truncated": (pl.col("finish") == "length").mean(),
        "no_answer": (pl.col("rule") == "no_answer").mean(),
        "undecided": (pl.col("status") == "undecided").mean(),
        "tokens": pl.col("tokens").mean(),
    }
    trials = list(trials)
    problems = by_problem(trials, wanted, cluster).with_columns(avg=pl.col("right") / pl.col("samples"))
    problems = _with_passes(problems)
    named = [name for name in problems.columns if name.startswith("pass@")]
    shown = ["avg", *named, "maj", "truncated", "no_answer", "undecided", "tokens"]
    index = [*KEYS, *(["cluster"] if cluster else [])]
    kept = ["benchmark", "level", "clean", *shown, *(key for key in index if key != "score")]
    rows = by_score(trials, problems.select(kept))
    return rows.unpivot(shown, index=index, variable_name="measure").drop_nulls("value")


def measure_means(
    table: pl.DataFrame,
    measures: pl.DataFrame,
    by: Sequence[str],
    over: Sequence[str] = ("seed",),
    level: float = 0.95,
) -> pl.DataFrame:
    """Mean of each cell and measure, with the interval of `effects.summary`.

    `table` and `measures` are `effects.table(...)` and `effects.measures(...)` of the same trials. Columns:
    `by`, score, measure, mean, stderr, low, high (within 0..1 for a share, at least 0 for tokens), seeds,
    problems. Rows come in the table's order, and in a cell in that of `measures`.
    """
    cell = [*by, "score", "measure"]
    levels = table.select(list(dict.fromkeys([*by, *over, "trial"]))).unique(maintain_order=True)
    found = [
        means_with_errors(
            levels.join(part, on="trial", maintain_order="left_right"), cell, over, "value", level
        )
        for part in measures.partition_by("score", "measure", maintain_order=True)
    ]
    if not found:
        return pl.DataFrame()
    most = pl.when(pl.col("measure") == "tokens").then(float("inf")).otherwise(1.0)
    rows = pl.concat(found).with_columns(low=pl.col("low").clip(0.0), high=pl.min_horizontal("high", most))
    cells = levels.select(by).unique(maintain_order=True)
    rows = cells.join(rows, on=list(by), nulls_equal=True, maintain_order="left_right") if by else rows
    return rows.select(*cell, "mean", "stderr", "low", "high", "seeds", "problems")


def _with_passes(rows: pl.DataFrame) -> pl.DataFrame:
    rows = rows.with_columns(fewest=pl.col("samples").min().over("trial", "benchmark"))
    several, most = pl.col("fewest") > 1, int(rows["fewest"].max() or 1)  # type: ignore[arg-type]
    for k in (2**power for power in range(1, most.bit_length())):
        name, enough = f"pass@{k}", pl.col("fewest") >= k
        own = _looked_up(rows.filter(enough), ["samples", "right"], name, partial(pass_at, k))
        rows = rows.join(own, on=["samples", "right"], how="left", maintain_order="left")
        rows = rows.with_columns(pl.when(enough).then(name).alias(name))
    rows = rows.with_columns(pl.col("votes").list.sort())
    own = _looked_up(rows.filter(several), ["votes"], "maj", majority)
    rows = rows.join(own, on="votes", how="left", maintain_order="left")
    return rows.with_columns(maj=pl.when(several).then("maj"))


def _looked_up(rows: pl.DataFrame, keys: list[str], name: str, value: Callable[..., float]) -> pl.DataFrame:
    """`keys` and `name`: the value of each combination that occurs, worked out once."""
    known = rows.select(keys).unique()
    return known.with_columns(pl.Series(name, [value(*row) for row in known.rows()], dtype=pl.Float64))
