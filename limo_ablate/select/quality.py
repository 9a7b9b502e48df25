"""The reasoning-chain score and the tiers L1..L5 (LIMO, section 3: four weighted features).

The paper gives the features and their weights; its word lists, feature scaling and tier edges are not
public. Those below are ours: counts per 100 words, each feature scaled to its rank within the pool,
tiers at the quintiles of the score. VERSION changes with them.
"""

from __future__ import annotations

import polars as pl

VERSION = 1

WEIGHTS = {"elaborated": 0.30, "self_verification": 0.20, "exploratory": 0.25, "granularity": 0.25}

LEXICONS = {
    "self_verification": (
        "check",
        "checking",
        "verify",
        "verifying",
        "confirm",
        "double-check",
        "make sure",
        "检查",
        "验证",
    ),
    "exploratory": ("perhaps", "might", "maybe", "alternatively", "wait", "suppose", "could", "或许", "可能"),
    "granularity": ("therefore", "since", "thus", "hence", "because", "so", "then", "因此", "因为", "所以"),
}

TIERS = ("L1", "L2", "L3", "L4", "L5")


def chain_features(text: pl.Expr) -> dict[str, pl.Expr]:
    """The raw features of a solution: words, and lexicon hits per 100 words."""
    words = text.str.count_matches(r"\S+").clip(lower_bound=1)
    features = {"elaborated": words.cast(pl.Float64)}
    for name, lexicon in LEXICONS.items():
        latin = "|".join(rf"\b{w}\b" for w in lexicon if w.isascii())
        other = "|".join(w for w in lexicon if not w.isascii())
        features[name] = 100 * text.str.to_lowercase().str.count_matches(f"{latin}|{other}") / words
    return features


def chain_scores(solutions: pl.DataFrame) -> pl.Series:
    """The score in (0, 1] of each row's `text`: the weighted mean of the features' ranks in this pool."""
    features = chain_features(pl.col("text"))
    ranks = [weight * features[name].rank("average") / pl.len() for name, weight in WEIGHTS.items()]
    return solutions.select(pl.sum_horizontal(ranks).alias("score")).to_series()


def tiers_by_score(scores: pl.Series) -> pl.Series:
    """L1 for the lowest fifth of the scores to L5 for the highest."""
    fifth = ((scores.rank("ordinal") - 1) * 5 // len(scores)).cast(pl.Int64)
    return fifth.replace_strict(list(range(5)), list(TIERS), return_dtype=pl.String).alias("tier")
