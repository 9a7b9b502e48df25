"""Orders the rows that passed the filters: each problem's solutions, then the problems, then by strata.

Every prefix of the order is the subset of that size, so 100 rows are always among the first 200.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from limo_ablate.core.errors import UserError
from limo_ablate.data.select.config import SelectConfig
from limo_ablate.data.select.rules import Candidates, random_numbers, sort_key
from limo_ablate.data.select.shares import mixed

FIFTHS = 5


def ordered_rows(rows: pl.DataFrame, config: SelectConfig, texts: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    """At most `config.solutions` rows of each problem, in order.

    Needs the columns problem, solution, row, those the rules use, and `stratum` if the selection is
    stratified or a mixture; `texts` reads the rows' texts. A mixture's rows have `in_shares`.
    """
    questions = rows["solution"].null_count() == rows.height
    best = "pool" if questions else config.best
    rows = rows.with_columns(
        sort_key(best, Candidates(rows, "solution", config.seed, texts)).alias("_best"),
        sort_key(config.order, Candidates(rows, "problem", config.seed, texts)).alias("_order"),
        random_numbers(rows["solution"], config.seed).alias("_tie"),
    )
    unit = ["problem", "stratum"] if config.shares else ["problem"]
    nth = pl.int_range(pl.len()).over(unit).alias("_nth")
    rows = rows.sort("_best", "_tie", nulls_last=True).with_columns(nth)
    rows = rows.filter(pl.col("_nth") < max(1, config.solutions))
    places = _places(rows.with_columns(rows=pl.len().over(unit)).filter(pl.col("_nth") == 0), config)
    ordered = rows.join(places, on=unit).sort("_place", "_nth")
    return ordered.drop("_best", "_order", "_tie", "_nth", "_place")


def _places(problems: pl.DataFrame, config: SelectConfig) -> pl.DataFrame:
    """problem, _place: the position of each problem by the rule `config.order` and the strata or shares."""
    tie = random_numbers(problems["problem"], config.seed).alias("_tie")
    ranked = problems.with_columns(tie).sort("_order", "_tie", nulls_last=True).with_row_index("_place")
    if config.shares:
        return mixed(ranked, config.shares)
    if config.stratify:
        rank = pl.int_range(pl.len()).over("stratum")
        within = rank if config.stratify.shares == "equal" else (rank + 0.5) / pl.len().over("stratum")
        ranked = ranked.with_columns(_within=within).sort("_within", "_place")
        ranked = ranked.drop("_place").with_row_index("_place")
    return ranked.select("problem", "_place")


def strata(rows: pl.DataFrame, config: SelectConfig, difficulty: str) -> pl.Series:
    """The stratum of each row, as text; `difficulty` is the column that measures difficulty.

    Raises UserError if no row has a stratum.
    """
    assert config.stratify is not None
    by = config.stratify.by
    column = difficulty if by == "difficulty" else by
    if rows[column].null_count() == rows.height:
        raise UserError(f"select.stratify.by={by}: this pool has no {column}; see data.fields")
    if by != "difficulty":
        return rows[column].cast(pl.String).fill_null("(none)").alias("stratum")
    share = pl.col(column).rank("average") / pl.col(column).count()
    fifth = (share * FIFTHS).ceil().cast(pl.Int32).cast(pl.String).fill_null("none")
    return rows.select(fifth.alias("stratum")).to_series()
