"""Which rows come first: seeded, nested and independent of the pool's own order.

With `order=random` each row's place is a hash of (seed, ids), so 100 rows are among the 200 of the same
seed whatever else the pool holds, and another seed draws another subset.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import polars as pl


def _seeded(seed: int) -> Callable[[str], str]:
    return lambda name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def ordered(rows: pl.DataFrame, order: str, seed: int) -> pl.DataFrame:
    """Rows (columns `problem`, `solution`, `response`, `score`) from first to last; ties by the seed."""
    tie = rows["solution"].map_elements(_seeded(seed), return_dtype=pl.String).alias("_tie")
    rows = rows.with_columns(tie)
    length = pl.col("response").str.len_chars()
    keys = {
        "random": ([pl.col("_tie")], [False]),
        "score": ([pl.col("score"), pl.col("_tie")], [True, False]),
        "longest": ([length, pl.col("_tie")], [True, False]),
        "shortest": ([length, pl.col("_tie")], [False, False]),
    }
    if order in keys:
        by, descending = keys[order]
        rows = rows.sort(by, descending=descending)
    return rows.drop("_tie")


def one_per_problem(rows: pl.DataFrame) -> pl.DataFrame:
    """The first row of each problem."""
    return rows.unique("problem", keep="first", maintain_order=True)
