"""Duplicates and near-duplicates among a pool's problems, as artifacts."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.data.select.config import MinHashConfig
from limo_ablate.data.select.words import Punctuation, duplicate_of


def duplicates(store: Store, punctuation: Punctuation, pool: Artifact) -> Artifact:
    """`duplicates.parquet`: problem, group (the first problem with the same words and gold answer).

    The gold answer is compared too because signs are not words: 7-3 and 7+3 are different problems.
    """

    def make(folder: Path) -> None:
        problems = _problems(pool)
        first = pl.Series("first", duplicate_of(problems["text"], punctuation), dtype=pl.Int64)
        places = problems.with_columns(first).with_row_index("place")
        same = pl.coalesce("first", "place"), pl.col("gold").str.strip_chars()
        groups = places.select(problem="id", group=pl.col("id").first().over(same))
        groups.write_parquet(folder / "duplicates.parquet")

    return store.build("duplicates", {"pool": pool, "punctuation": punctuation}, make)


def clusters(store: Store, minhash: MinHashConfig, pool: Artifact) -> Artifact:
    """`clusters.parquet`: problem, cluster (the id of the first problem of its cluster)."""

    def make(folder: Path) -> None:
        from limo_ablate.data.select.minhash import clusters as find_clusters

        problems = _problems(pool)
        firsts = problems["id"].gather(find_clusters(problems["text"], minhash)).alias("cluster")
        problems.select(problem="id").with_columns(firsts).write_parquet(folder / "clusters.parquet")

    return store.build("clusters", {"pool": pool, "minhash": minhash}, make)


def _problems(pool: Artifact) -> pl.DataFrame:
    return pl.read_parquet(pool.path / "problems.parquet", columns=["id", "text", "gold"])
