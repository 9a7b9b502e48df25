"""The reasoning-chain score and the tiers L1..L5 (LIMO, section 3.2), from a solution's features.

The paper gives the features and their weights. Word lists, scaling and tier edges are `select.score`'s.
"""

from __future__ import annotations

import logging

import numpy as np
import polars as pl

from limo_ablate.data.select.config import ScoreConfig

logger = logging.getLogger(__name__)

TIED_SHARE = 0.2
"""Share of rows with arbitrary tiers from which it is warned of."""
TIERS = ("L1", "L2", "L3", "L4", "L5")


def with_scores(rows: pl.DataFrame, config: ScoreConfig) -> pl.DataFrame:
    """`rows` with `elaborated`, `score` and `residual`, which are null for rows without a solution.

    `score` is the weighted sum of the features, each scaled over all rows. `residual` is the residual of its
    linear regression on log(length): a score that is uncorrelated with length.
    """
    rows = rows.with_columns(elaborated=pl.col("length").cast(pl.Float64))
    parts = [weight * _scaled(pl.col(name), config.scaling) for name, weight in config.weights.items()]
    rows = rows.with_columns(score=pl.sum_horizontal(parts, ignore_nulls=False))
    return rows.with_columns(_residual(rows))


def _scaled(feature: pl.Expr, scaling: str) -> pl.Expr:
    if scaling == "rank":
        return feature.rank("average") / feature.count()
    if scaling == "zscore":
        spread = feature.std(ddof=0)
        return pl.when(spread > 0).then((feature - feature.mean()) / spread).otherwise(feature * 0.0)
    width = feature.max() - feature.min()
    return pl.when(width > 0).then((feature - feature.min()) / width).otherwise(feature * 0.0)


def _residual(rows: pl.DataFrame) -> pl.Series:
    known = rows.select("length", "score").drop_nulls()
    if known.is_empty():
        return pl.Series("residual", [None] * rows.height, dtype=pl.Float64)
    logs = np.log(known["length"].cast(pl.Float64).clip(lower_bound=1).to_numpy())
    spread = logs.std()
    slope = np.cov(logs, known["score"].to_numpy(), ddof=0)[0, 1] / spread**2 if spread else 0.0
    log_length = rows["length"].cast(pl.Float64).clip(lower_bound=1).log()
    level = (known["score"].mean(), float(logs.mean()))
    return (rows["score"] - level[0] - slope * (log_length - level[1])).alias("residual")


def warn_of_ties(rows: pl.DataFrame, config: ScoreConfig) -> None:
    """Warns where two edges between tiers fall on the same score, so that the order of the rows decides the
    tier."""
    equal = ["score", "problem"] if config.within == "problem" else ["score"]
    tied = rows.filter(pl.col("tier").n_unique().over(equal) > 2)
    if tied.height >= TIED_SHARE * rows.height:
        logger.warning(
            "tiers are arbitrary for %d of %d rows: three tiers or more have the same chain score, such as "
            "%.4g. The features of select.score do not tell these solutions apart",
            tied.height, rows.height, tied["score"][0],
        )  # fmt: skip


def assign_tiers(rows: pl.DataFrame, config: ScoreConfig) -> pl.Series:
    """Tiers from L1 for the lowest scores to L5 for the highest, by rank among all rows or among a problem's.

    The row of rank r (from 0) of m rows is at (r + 0.5) / m, so that five solutions of a problem fall into
    five tiers if the edges are fifths.
    """
    place, count = pl.col("score").rank("ordinal"), pl.col("score").count()
    if config.within == "problem":
        place, count = place.over("problem"), count.over("problem")
    at = (place - 0.5) / count
    below = pl.sum_horizontal([(at >= edge).cast(pl.Int32) for edge in config.edges], ignore_nulls=False)
    named = below.replace_strict(list(range(5)), list(TIERS), default=None, return_dtype=pl.String)
    return rows.select(named.alias("tier")).to_series()
