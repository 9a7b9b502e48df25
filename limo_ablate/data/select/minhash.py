"""Finds near-duplicates by MinHash: texts that share most of their word shingles.

Candidates come from locality-sensitive hashing. They count as near-duplicates if the Jaccard similarity
estimated from their signatures reaches the threshold. Signatures depend only on words and seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import polars as pl

from limo_ablate.core.errors import UserError
from limo_ablate.data.select.config import MinHashConfig
from limo_ablate.data.select.words import Words

if TYPE_CHECKING:
    from rensa import RMinHash

MAX_MISSED = 0.01
"""Share of pairs at the threshold that the bands may miss; they miss fewer of more similar pairs."""

TEXTS = 1_000
"""Texts whose shingles are in memory at a time."""


class MinHashIndex:
    def __init__(self, config: MinHashConfig) -> None:
        from rensa import RMinHashLSH

        self.config = config
        self.lsh = RMinHashLSH(config.threshold, config.permutations, bands(config))
        self.signatures: dict[int, RMinHash] = {}

    def signature(self, words: Sequence[str]) -> RMinHash:
        from rensa import RMinHash

        signature = RMinHash(self.config.permutations, self.config.seed)
        signature.update(shingles(words, self.config.shingle))
        return signature

    def signatures_of(self, texts: Words) -> Iterator[tuple[int, RMinHash]]:
        """(text, signature) of each text that has words; their shingles are joined for all texts at once."""
        from rensa import RMinHash

        size, lengths = self.config.shingle, texts.lengths()
        for first in range(0, len(lengths), TEXTS):
            starts = texts.starts[first : first + TEXTS + 1]
            flat = texts.flat[int(starts[0]) : int(starts[-1])]
            shifted = [flat.shift(-i, fill_value="").alias(str(i)) for i in range(size)]
            joined = pl.select(pl.concat_str(shifted, separator=" ")).to_series().to_list()
            for text, (start, end) in enumerate(pairwise((starts - starts[0]).tolist()), first):
                if length := end - 1 - start:
                    run = (
                        joined[start : end - size]
                        if length >= size
                        else shingles(flat[start : end - 1].to_list(), size)
                    )
                    signature = RMinHash(self.config.permutations, self.config.seed)
                    signature.update(run)
                    yield text, signature

    def add(self, key: int, signature: RMinHash) -> None:
        self.lsh.insert(key, signature)
        self.signatures[key] = signature

    def similar(self, signature: RMinHash) -> Iterator[tuple[int, float]]:
        """(key, estimated Jaccard similarity) of all that reach the threshold, in the order of keys."""
        for key in sorted(self.lsh.query(signature)):
            similarity = signature.jaccard(self.signatures[key])
            if similarity >= self.config.threshold:
                yield key, similarity


def shingles(words: Sequence[str], size: int) -> list[str]:
    """Every run of `size` words; all words of a text that is shorter."""
    return [" ".join(words[i : i + size]) for i in range(max(1, len(words) - size + 1))]


def bands(config: MinHashConfig) -> int:
    """The smallest number of bands that finds all but MAX_MISSED of the pairs at the threshold."""
    sizes = [bands for bands in range(1, config.permutations + 1) if config.permutations % bands == 0]
    for count in sizes:
        if (1 - config.threshold ** (config.permutations // count)) ** count <= MAX_MISSED:
            return count
    raise UserError(
        f"minhash.threshold={config.threshold} is too low for minhash.permutations={config.permutations}: "
        "increase one of them"
    )


def clusters(texts: pl.Series | Iterable[str], minhash: MinHashConfig) -> list[int]:
    """For each text, the position of the first text of its cluster.

    A cluster is a connected component of near-duplicates. A text without words is a cluster of its own.
    """
    index = MinHashIndex(minhash)
    parents: list[int] = []
    keys: dict[str, int] = {}
    for place, joined in enumerate(Words.split(pl.Series(texts, dtype=pl.String), "separate").joined()):
        parents.append(keys.setdefault(joined, place) if joined else place)
        if joined and parents[place] == place:
            signature = index.signature(joined.split())
            for other, _ in index.similar(signature):
                _link(parents, place, other)
            index.add(place, signature)
    return [_root(parents, place) for place in range(len(parents))]


def _link(parents: list[int], a: int, b: int) -> None:
    a, b = _root(parents, a), _root(parents, b)
    parents[max(a, b)] = min(a, b)


def _root(parents: list[int], place: int) -> int:
    while parents[place] != place:
        parents[place] = parents[parents[place]]
        place = parents[place]
    return place
