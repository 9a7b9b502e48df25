"""The contamination gate: finds all matching pairs of pool problems and benchmark items, with evidence."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.data.select.boilerplate import Boilerplate
from limo_ablate.data.select.config import ContaminationConfig, MinHashConfig
from limo_ablate.data.select.minhash import MinHashIndex
from limo_ablate.data.select.ngrams import PAIRS, NgramIndex, Runs
from limo_ablate.data.select.whole import SHORTEST, SHORTEST_LETTERS, WholeIndex, too_short
from limo_ablate.data.select.words import Words

BATCH = 5_000
"""Pool problems in memory at a time."""
SAMPLE = 10_000
"""Pool problems, evenly spaced, in which boilerplate is looked for."""
EVIDENCE_CHARACTERS = 300
"""Approximate length of the evidence."""
PAIRS_PER_PROBLEM = 20
"""Items that are listed for a problem and a method. An item's first pair is always listed, so the sets of
flagged problems and of flagged items are whole."""

SHOWN_WORDS = 30
"""Words of boilerplate that are shown."""
FOUND = {**PAIRS, "similarity": pl.Float64}
"""Positions of the problem in its batch and of the item; where their shared run starts, its length."""
FLAG_COLUMNS = {
    "problem": pl.String,
    "benchmark": pl.String,
    "item": pl.String,
    "method": pl.String,
    "n": pl.Int64,
    "similarity": pl.Float64,
    "evidence": pl.String,
}


@dataclass(slots=True)
class Method:
    """One way to compare a batch of pool problems with all items."""

    name: str
    n: int | None
    find: Callable[[Words], pl.DataFrame]
    """The pairs, with columns FOUND or PAIRS, ordered by text and item."""
    run: Callable[[Words, int, int], tuple[int, int]] | None = None
    """(start, length) of the longest run that a text and an item share, where `find` does not tell."""
    items: set[int] = field(default_factory=set)
    """Items that have a pair."""

    def bounded(self, texts: Words) -> tuple[pl.DataFrame, int]:
        """The pairs that are listed, and the number of those that are not."""
        found = self.find(texts)
        new = (
            ~pl.col("item").is_in(pl.Series(list(self.items), dtype=pl.Int64).implode())
            & pl.col("item").is_first_distinct()
        )
        listed = found.filter((pl.int_range(pl.len()).over("text") < PAIRS_PER_PROBLEM) | new)
        self.items.update(listed["item"])
        return listed, found.height - listed.height


def flags(
    store: Store, config: ContaminationConfig, pool: Artifact, benchmarks: Mapping[str, Artifact]
) -> Artifact:
    """`flags.parquet`: a row for each (pool problem, benchmark item, method, n) that matches.

    `similarity` is 1 for `exact`, and the estimated Jaccard similarity for `minhash`. `evidence` is the
    longest shared run of words. Rows are in the order of the pool, then of benchmark, item, method and n.
    `gate.json` says what was not compared: boilerplate, texts without words, items below the floor, and how
    many pairs are not listed.
    """
    searched = {key: value for key, value in asdict(config).items() if key not in ("policy", "also")}
    named = sorted(benchmarks.items())
    inputs = {"search": searched, "pool": pool, "benchmarks": named}
    return store.build("flags", inputs, lambda folder: _write(config, pool, dict(named), folder))


def gate_notes(folder: Path) -> list[str]:
    """What `gate.json` in the folder of `flags` says, in words; empty if all was compared."""
    facts: dict[str, Any] = json.loads((folder / "gate.json").read_text())
    notes = [_boilerplate_note(facts["boilerplate"])] if facts["boilerplate"] else []
    for key, said in _NOT_COMPARED.items():
        if facts[key] and (counts := {name: count for name, count in facts[key].items() if count}):
            notes.append(f"{', '.join(f'{name} {count:,}' for name, count in counts.items())}: {said}")
    if facts["pairs_not_listed"]:
        notes.append(
            f"{facts['pairs_not_listed']:,} pairs are not listed: of a problem and a method, the first "
            f"{PAIRS_PER_PROBLEM} are, and the first of each item"
        )
    return notes


_NOT_COMPARED = {
    "only_boilerplate": "items that are boilerplate alone: only whole texts with the same words are found",
    "without_words": "texts without letters or digits, which nothing can find",
    "below_floor": f"items under {SHORTEST} words or {SHORTEST_LETTERS} letters and digits: "
    "only whole texts with the same words are found",
}


def _boilerplate_note(runs: list[dict[str, Any]]) -> str:
    first = runs[0]
    sides = {**first["benchmarks"], "the pool": first["pool"]}
    shares = [f"{share:.0%} of {name}" for name, share in sides.items()]
    shown = " ".join(first["words"].split(" ")[:SHOWN_WORDS])
    more = f"; {len(runs) - 1} more in gate.json" if len(runs) > 1 else ""
    return (
        f'boilerplate, which is not compared: "{shown}{" …" if shown != first["words"] else ""}" '
        f"({', '.join(shares)}){more}"
    )


def _write(
    config: ContaminationConfig, pool: Artifact, benchmarks: Mapping[str, Artifact], folder: Path
) -> None:
    items = _items(benchmarks)
    words = Words.split(items["text"], config.punctuation)
    plain = Side(config, words, items, pool)
    sides, searches = [plain], [(plain.of, _plain_methods(config, plain))]
    if config.masked_ngrams:
        sides.append(masked := Side(config, words, items, pool, masked=True))
        searches.append((masked.of, _masked_methods(config, masked)))
    searches.append((lambda texts: texts, _methods_with_boilerplate(config, plain)))
    found = [pl.DataFrame(schema=FLAG_COLUMNS)]
    counts: Counter[str] = Counter()
    for batch in _batches(pool):
        texts = Words.split(batch["text"], config.punctuation)
        counts["without words"] += int((texts.lengths() == 0).sum())
        found.append(_flagged(batch, [(of(texts), methods) for of, methods in searches], items, counts))
    pl.concat(found).write_parquet(folder / "flags.parquet")
    facts = {
        "boilerplate": _boilerplate_runs(sides),
        "only_boilerplate": _by_benchmark(items, (plain.items.lengths() == 0) & (words.lengths() > 0)),
        "without_words": {"pool": counts["without words"], **_by_benchmark(items, words.lengths() == 0)},
        "below_floor": _by_benchmark(items, too_short(plain.items)) if config.ngrams else {},
        "pairs_not_listed": counts["not listed"],
    }
    (folder / "gate.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def _boilerplate_runs(sides: list[Side]) -> list[dict[str, Any]]:
    runs = {run["words"]: run for side in sides if side.boilerplate for run in side.boilerplate.listed()}
    return list(runs.values())


class Side:
    """The items as one kind of method compares them: as they are or masked, without boilerplate."""

    def __init__(
        self,
        config: ContaminationConfig,
        words: Words,
        items: pl.DataFrame,
        pool: Artifact,
        *,
        masked: bool = False,
    ) -> None:
        self.masked, own = masked, words.masked() if masked else words
        self.original = Runs(own)
        self.boilerplate: Boilerplate | None = None
        compared = config.masked_ngrams if masked else config.ngrams or config.minhash
        if config.boilerplate is not None and compared:
            bounds = items.group_by("benchmark", maintain_order=True).agg(
                first=pl.col("place").min(), end=pl.col("place").max() + 1
            )
            benchmarks = {name: (first, end) for name, first, end in bounds.iter_rows()}
            sample = self._sample(config, pool)
            self.boilerplate = Boilerplate(
                self.original, items["text"], benchmarks, sample, config.boilerplate
            )
        self.items = self._without(own)
        self.runs = Runs(self.items, self.original.vocabulary)

    def _sample(self, config: ContaminationConfig, pool: Artifact) -> Iterator[tuple[Words, pl.Series]]:
        for batch in _batches(pool, SAMPLE):
            words = Words.split(batch["text"], config.punctuation)
            yield words.masked() if self.masked else words, batch["text"]

    def of(self, texts: Words) -> Words:
        """A batch of the pool as it is compared."""
        return self._without(texts.masked() if self.masked else texts)

    def _without(self, words: Words) -> Words:
        return self.boilerplate.without(words) if self.boilerplate else words


def _by_benchmark(items: pl.DataFrame, flagged: Any) -> dict[str, int]:
    """Benchmark -> number of its flagged items, where there are some."""
    counts = items.filter(pl.Series(flagged, dtype=pl.Boolean))["benchmark"].value_counts(sort=False)
    return dict(sorted(counts.iter_rows()))


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


def _batches(pool: Artifact, sample: int | None = None) -> Iterator[pl.DataFrame]:
    """Id and text of the pool's problems; with `sample`, of about that many, evenly spaced."""
    from pyarrow.parquet import ParquetFile

    file, start = ParquetFile(pool.path / "problems.parquet"), 0
    step = max(1, file.metadata.num_rows // sample) if sample else 1
    for batch in file.iter_batches(BATCH, columns=["id", "text"]):
        frame = pl.from_arrow(batch)
        assert isinstance(frame, pl.DataFrame)
        offset = -start % step
        start += frame.height
        if offset < frame.height:
            yield frame.gather_every(step, offset)


def _flagged(
    batch: pl.DataFrame,
    searches: list[tuple[Words, list[Method]]],
    items: pl.DataFrame,
    counts: Counter[str],
) -> pl.DataFrame:
    matches = [pl.DataFrame(schema={**FOUND, **_SAID})]
    for texts, methods in searches:
        for method in methods:
            found, left_out = method.bounded(texts)
            counts["not listed"] += left_out
            if found.height:
                matches.append(_with_evidence(found, method, texts))
    ids = batch.select(pl.col("id").cast(pl.String).alias("problem")).with_row_index("text")
    return (
        pl.concat(matches, how="diagonal")
        .rename({"item": "place"})
        .filter((pl.col("method") != "whole") | (pl.col("length") == pl.max("length").over(*_PAIR)))
        .unique([*_PAIR, "n"], keep="first", maintain_order=True)
        .sort("text", "place", "method", "n", nulls_last=False)
        .join(ids.with_columns(pl.col("text").cast(pl.Int64)), on="text", maintain_order="left")
        .join(items.drop("text"), on="place", maintain_order="left")
        .select(list(FLAG_COLUMNS))
    )


_PAIR = ("text", "place", "method")
_SAID = {"method": pl.String, "n": pl.Int64, "evidence": pl.String}


def _with_evidence(found: pl.DataFrame, method: Method, texts: Words) -> pl.DataFrame:
    runs = found.select("text", "item", "start", "length").iter_rows()
    if method.run:
        shared = [method.run(texts, text, item) for text, item, *_ in runs]
    else:
        shared = [(start, length) for *_, start, length in runs]
    evidence = [_evidence(texts.flat[start : start + length]) for start, length in shared]
    n = pl.col("length") if method.name == "whole" else pl.lit(method.n, pl.Int64)
    return found.with_columns(method=pl.lit(method.name), n=n, evidence=pl.Series(evidence, dtype=pl.String))


def _plain_methods(config: ContaminationConfig, side: Side) -> list[Method]:
    indexes = {n: NgramIndex(side.runs, n) for n in sorted(set(config.ngrams))}
    methods = [Method("ngram", n, index.find) for n, index in indexes.items()]
    if config.ngrams:
        short = side.items.lengths() < max(config.ngrams)
        methods.append(Method("whole", None, WholeIndex(side.runs, short).find))
    if config.minhash:
        methods.append(_by_minhash(side.items, config.minhash))
    return methods


def _methods_with_boilerplate(config: ContaminationConfig, side: Side) -> list[Method]:
    """Items as they are: those of one template may differ in a few words only, but are found where whole."""
    methods = []
    if config.exact:
        methods.append(Method("exact", None, _by_all_words(side.original)))
    shortened = (side.items.lengths() < side.original.items.lengths()) & (side.items.lengths() > 0)
    if config.ngrams and shortened.any():
        methods.append(Method("whole", None, WholeIndex(side.original, shortened).find))
    return methods


def _masked_methods(config: ContaminationConfig, side: Side) -> list[Method]:
    return [
        Method("masked", n, NgramIndex(side.runs, n, masked=True).find)
        for n in sorted(set(config.masked_ngrams))
    ]


def _by_all_words(runs: Runs) -> Callable[[Words], pl.DataFrame]:
    known = pl.DataFrame({"words": runs.items.joined()}, schema={"words": pl.String}).with_row_index("item")
    known = known.filter(pl.col("words") != "")

    def find(texts: Words) -> pl.DataFrame:
        unknown = texts.count(runs.vocabulary.codes(texts) == 0) - 1
        possible = np.flatnonzero((unknown == 0) & (texts.lengths() > 0))
        starts, lengths = texts.starts[possible], texts.lengths()[possible]
        joined = [
            " ".join(texts.flat[start : start + length].to_list())
            for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
        ]
        columns = {"text": possible, "words": joined, "start": starts, "length": lengths}
        schema = {"text": pl.Int64, "words": pl.String, "start": pl.Int64, "length": pl.Int64}
        pairs = pl.DataFrame(columns, schema=schema).join(known, on="words").sort("text", "item")
        return pairs.select(pl.col(list(PAIRS)).cast(pl.Int64), similarity=pl.lit(1.0))

    return find


def _by_minhash(items: Words, config: MinHashConfig) -> Method:
    index, known = MinHashIndex(config), items.lists()
    for place, signature in index.signatures_of(items):
        index.add(place, signature)

    def find(texts: Words) -> pl.DataFrame:
        pairs = [
            (text, place, None, None, similarity)
            for text, signature in index.signatures_of(texts)
            for place, similarity in index.similar(signature)
        ]
        return pl.DataFrame(pairs, schema=FOUND, orient="row")

    return Method("minhash", config.shingle, find, partial(_longest_shared, known))


def _longest_shared(known: list[list[str]], texts: Words, text: int, item: int) -> tuple[int, int]:
    start = int(texts.starts[text])
    words = texts.flat[start : int(texts.starts[text + 1]) - 1].to_list()
    run = SequenceMatcher(None, words, known[item], autojunk=False).find_longest_match()
    return start + run.a, run.size


def _evidence(run: pl.Series) -> str:
    """The words of a run, cut at about EVIDENCE_CHARACTERS."""
    text = " ".join(run[:EVIDENCE_CHARACTERS].to_list())
    return text if len(text) <= EVIDENCE_CHARACTERS else text[:EVIDENCE_CHARACTERS].rsplit(" ", 1)[0] + " …"
