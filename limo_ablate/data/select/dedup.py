"""Duplicates and near-duplicates among a pool's problems, as artifacts."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.data.select.config import MinHashConfig
from limo_ablate.data.select.words import Punctuation, duplicate_of
from limo_ablate.verify import VERSION as VERIFIER
from limo_ablate.verify.extract import Extraction
from limo_ablate.verify.grade import grade

MOST_ANSWERS = 50
"""Different answers of problems with the same words that the verifier compares with each other."""


def duplicates(store: Store, punctuation: Punctuation, pool: Artifact) -> Artifact:
    """`duplicates.parquet`: problem, group (the first problem with the same words and gold answer).

    The gold answer is compared too because signs are not words: 7-3 and 7+3 are different problems. Answers
    are equal if the verifier says so: 1/2, \\frac12 and 0.5.
    """

    def make(folder: Path) -> None:
        problems = _problems(pool)
        first = pl.Series("first", duplicate_of(problems["text"], punctuation), dtype=pl.Int64)
        places = problems.with_columns(first).with_row_index("place")
        places = places.with_columns(words=pl.coalesce("first", "place"))
        answers = pl.Series("answer", _answers(places["words"].to_list(), places["gold"].to_list()))
        groups = places.with_columns(answers).select(
            problem="id", group=pl.col("id").first().over("words", "answer")
        )
        groups.write_parquet(folder / "duplicates.parquet")

    inputs = {"pool": pool, "punctuation": punctuation, "verifier": VERIFIER}
    return store.build("duplicates", inputs, make)


def _answers(words: list[int], golds: list[str | None]) -> list[int]:
    """A number for each problem, the same for problems that have the same words and equal answers."""
    known: dict[int, dict[str, int]] = {}
    numbers = []
    for place, (group, gold) in enumerate(zip(words, golds, strict=True)):
        answers = known.setdefault(group, {})
        text = (gold or "").strip()
        if text not in answers:
            same = [other for other in list(answers)[:MOST_ANSWERS] if _is_same(other, text)]
            answers[text] = answers[same[0]] if same else place
        numbers.append(answers[text])
    return numbers


def _is_same(one: str, other: str) -> bool:
    return bool(one and other and grade(one, Extraction(other, "box"), strict=True, choices=None).equal)


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
