"""select.order=equations: problems whose solutions hold many equations come first."""

import polars as pl

from limo_ablate.data.select.rules import Candidates


def equations(candidates: Candidates) -> pl.Series:
    """The lowest number comes first, hence the minus; null stays null, and comes last."""
    solutions = candidates.texts()["response"]
    return -solutions.str.count_matches("=", literal=True).cast(pl.Int64)
