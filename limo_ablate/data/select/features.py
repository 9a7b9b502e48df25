"""Features of every solution (LIMO, section 3.2), computed from its text once for all cells.

`length` counts words, numbers, symbols and Chinese characters, which is close to the number of tokens in text
and in formulas. The other features are lexicon hits per 100 of these. `quality` scales and weights them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store

UNIT = r"\p{Han}|[\p{L}--\p{Han}]+|\p{N}+|[^\s\p{L}\p{N}]"


def features(store: Store, lexicons: Mapping[str, Iterable[str]], pool: Artifact) -> Artifact:
    """`features.parquet`: solution, length, and a column for each lexicon; in the pool's order."""
    inputs = {"lexicons": {name: sorted(words) for name, words in lexicons.items()}, "pool": pool}
    return store.build("features", inputs, lambda folder: _write(lexicons, pool, folder))


def _write(lexicons: Mapping[str, Iterable[str]], pool: Artifact, folder: Path) -> None:
    text = pl.col("text")
    counted = pl.scan_parquet(pool.path / "solutions.parquet").select(
        pl.col("id").alias("solution"),
        length(text).alias("length"),
        **{name: hits(text, words) for name, words in lexicons.items()},
    )
    rates = {name: 100 * pl.col(name) / pl.col("length").clip(lower_bound=1) for name in lexicons}
    counted.with_columns(**rates).sink_parquet(folder / "features.parquet")


def length(text: pl.Expr) -> pl.Expr:
    return text.str.count_matches(UNIT)


def hits(text: pl.Expr, lexicon: Iterable[str]) -> pl.Expr:
    """Number of non-overlapping occurrences of the words and phrases of `lexicon`."""
    return text.str.count_matches(pattern(lexicon))


def pattern(lexicon: Iterable[str]) -> str:
    """A regular expression for polars, case-insensitive, with whole words only for Latin ones.

    Word boundaries are those of ASCII: with Unicode's, polars is slow on any text that is not ASCII.
    """
    longest_first = sorted(lexicon, key=len, reverse=True)
    latin = [re.escape(phrase).replace(r"\ ", r"\s+") for phrase in longest_first if phrase.isascii()]
    other = [re.escape(phrase) for phrase in longest_first if not phrase.isascii()]
    parts = [rf"(?-u:\b)(?:{'|'.join(latin)})(?-u:\b)"] if latin else []
    return rf"(?i:{'|'.join([*parts, *other])})"
