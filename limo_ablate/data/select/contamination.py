"""The contamination gate: finds all matching pairs of pool problems and benchmark items, with evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from difflib import SequenceMatcher
from pathlib import Path

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.data.select.config import ContaminationConfig, MinHashConfig
from limo_ablate.data.select.minhash import MinHashIndex
from limo_ablate.data.select.ngrams import NgramIndex
from limo_ablate.data.select.words import Words

BATCH = 10_000
"""Pool problems in memory at a time."""
EVIDENCE_CHARACTERS = 300
"""Approximate length of the evidence."""

Match = tuple[int, int, str, int | None, float | None, str]
"""Position of the problem in its batch, position of the item, method, n, similarity, evidence."""
MATCH_SCHEMA = {
    "text": pl.Int64,
    "place": pl.Int64,
    "method": pl.String,
    "n": pl.Int64,
    "similarity": pl.Float64,
    "evidence": pl.String,
}
FLAG_COLUMNS = ["problem", "benchmark", "item", "method", "n", "similarity", "evidence"]

Search = Callable[[Words], Iterator[Match]]
"""Finds the matches of a batch of pool problems by one method."""


def flags(
    store: Store, config: ContaminationConfig, pool: Artifact, benchmarks: Mapping[str, Artifact]
) -> Artifact:
    """`flags.parquet`: a row for each (pool problem, benchmark item, method, n) that matches.

    `similarity` is 1 for `exact`, and the estimated Jaccard similarity for `minhash`. `evidence` is the
    longest shared run of words. Rows are in the order of the pool, then of benchmark, item, method and n.
    """
    searched = {key: value for key, value in asdict(config).items() if key not in ("policy", "also")}
    named = sorted(benchmarks.items())
    inputs = {"search": searched, "pool": pool, "benchmarks": named}
    return store.build("flags", inputs, lambda folder: _write(config, pool, dict(named), folder))


def _write(
    config: ContaminationConfig, pool: Artifact, benchmarks: Mapping[str, Artifact], folder: Path
) -> None:
    items = _items(benchmarks)
    searches = _searches(config, Words.split(items["text"], config.punctuation))
    found = [_flagged(batch, config, searches, items) for batch in _batches(pool)]
    empty = pl.DataFrame(schema={name: MATCH_SCHEMA.get(name, pl.String) for name in FLAG_COLUMNS})
    pl.concat([empty, *found]).write_parquet(folder / "flags.parquet")


def _items(benchmarks: Mapping[str, Artifact]) -> pl.DataFrame:
    """All items of all benchmarks, with their positions."""
    frames = [
        pl.read_parquet(artifact.path / "problems.parquet", columns=["id", "text"]).select(
            pl.lit(name).alias("benchmark"), pl.col("id").cast(pl.String).alias("item"), "text"
        )
        for name, artifact in benchmarks.items()
    ]
    schema = {"benchmark": pl.String, "item": pl.String, "text": pl.String}
    places = pl.concat([pl.DataFrame(schema=schema), *frames]).with_row_index("place")
    return places.with_columns(pl.col("place").cast(pl.Int64))


def _batches(pool: Artifact) -> Iterator[pl.DataFrame]:
    from pyarrow.parquet import ParquetFile

    for batch in ParquetFile(pool.path / "problems.parquet").iter_batches(BATCH, columns=["id", "text"]):
        frame = pl.from_arrow(batch)
        assert isinstance(frame, pl.DataFrame)
        yield frame


def _flagged(
    batch: pl.DataFrame, config: ContaminationConfig, searches: list[Search], items: pl.DataFrame
) -> pl.DataFrame:
    words = Words.split(batch["text"], config.punctuation)
    matches = pl.DataFrame(
        [m for search in searches for m in search(words)], schema=MATCH_SCHEMA, orient="row"
    )
    ids = batch.select(pl.col("id").cast(pl.String).alias("problem")).with_row_index("text")
    return (
        matches.sort("text", "place", "method", "n", nulls_last=False)
        .join(ids.with_columns(pl.col("text").cast(pl.Int64)), on="text", maintain_order="left")
        .join(items.drop("text"), on="place", maintain_order="left")
        .select(FLAG_COLUMNS)
    )


def _searches(config: ContaminationConfig, items: Words) -> list[Search]:
    searches = [_by_ngram(items, n) for n in sorted(set(config.ngrams))]
    searches += [_by_masked_ngram(items.masked(), n) for n in sorted(set(config.masked_ngrams))]
    if config.exact:
        searches.append(_by_all_words(items))
    if config.minhash:
        searches.append(_by_minhash(items, config.minhash))
    return searches


def _by_all_words(items: Words) -> Search:
    places: dict[str, list[int]] = {}
    for place, joined in enumerate(items.joined()):
        places.setdefault(joined, []).append(place)
    places.pop("", None)

    def search(texts: Words) -> Iterator[Match]:
        for text, joined in enumerate(texts.joined()):
            for place in places.get(joined, ()):
                yield text, place, "exact", None, 1.0, _evidence(joined.split(" "))

    return search


def _by_ngram(items: Words, n: int, method: str = "ngram") -> Search:
    index = NgramIndex(items, n, masked=method == "masked")

    def search(texts: Words) -> Iterator[Match]:
        words = texts.flat.to_list()
        for text, place, start, length in index.find(texts).iter_rows():
            yield text, place, method, n, None, _evidence(words[start : start + length])

    return search


def _by_masked_ngram(items: Words, n: int) -> Search:
    search = _by_ngram(items, n, "masked")
    return lambda texts: search(texts.masked())


def _by_minhash(items: Words, config: MinHashConfig) -> Search:
    index, known = MinHashIndex(config), items.lists()
    for place, words in enumerate(known):
        if words:
            index.add(place, index.signature(words))

    def search(texts: Words) -> Iterator[Match]:
        for text, words in enumerate(texts.lists()):
            for place, similarity in index.similar(index.signature(words)) if words else ():
                run = _longest_shared(words, known[place])
                yield text, place, "minhash", config.shingle, similarity, _evidence(run)

    return search


def _longest_shared(words: list[str], others: list[str]) -> list[str]:
    run = SequenceMatcher(None, words, others, autojunk=False).find_longest_match()
    return words[run.a : run.a + run.size]


def _evidence(run: list[str]) -> str:
    """The words of a run, cut at about EVIDENCE_CHARACTERS."""
    text = " ".join(run[:EVIDENCE_CHARACTERS])
    return text if len(text) <= EVIDENCE_CHARACTERS else text[:EVIDENCE_CHARACTERS].rsplit(" ", 1)[0] + " …"
