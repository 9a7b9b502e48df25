"""Finds runs of n words that two sets of texts share.

Each n-gram gets a number by looking up the numbers of its two halves, recursively down to single words. Two
n-grams have the same number if and only if their words are the same: there are no hash collisions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.data.select.words import MARK, Integers, Vocabulary, Words

PAIRS = {"text": pl.Int64, "item": pl.Int64, "start": pl.Int64, "length": pl.Int64}
MATCHES = 1_000_000
"""Positions in pool and items that are compared at a time, so that templates don't fill the memory."""


class Runs:
    """Numbers of the runs of words of the benchmarks' items, from 1; 0 is a run that no item has."""

    def __init__(self, items: Words, vocabulary: Vocabulary | None = None) -> None:
        self.items, self.vocabulary = items, vocabulary or Vocabulary(items)
        self._keys: dict[int, npt.NDArray[np.uint64]] = {}
        """Length -> the existing pairs of halves; a pair's number is its position."""
        self._own = {1: self.vocabulary.codes(items)}
        self._last: tuple[Words, dict[int, Integers]] | None = None

    @property
    def codes(self) -> Integers:
        return self._own[1]

    def own(self, n: int) -> Integers:
        """The number of the run of n words at each position of the items."""
        if n not in self._own:
            half = _half(n)
            pairs = _pairs(self.own(half), n - half)
            self._keys[n] = np.unique(pairs[pairs > 0])
            self._own[n] = _pair_numbers(pairs, self._keys[n])
        return self._own[n]

    def of(self, texts: Words, n: int) -> Integers:
        """The number of the run of n words at each position of other texts."""
        if self._last is None or self._last[0] is not texts:
            self._last = texts, {1: self.vocabulary.codes(texts)}
        known = self._last[1]
        if n not in known:
            self.own(n)
            half = _half(n)
            known[n] = _pair_numbers(_pairs(self.of(texts, half), n - half), self._keys[n])
        return known[n]


class NgramIndex:
    """Index of the n-grams of the benchmarks' items, in which the pool's problems are looked up.

    With `masked`, all words are masked, and an n-gram counts only if it contains a number but not more
    numbers than other words: lists of coordinates all look the same.
    """

    def __init__(self, runs: Runs, n: int, *, masked: bool = False) -> None:
        self.items, self.n, self.runs, self.codes = runs.items, n, runs, runs.codes
        own = runs.own(n)
        self._keep_first(own, _informative(self.items, n) if masked else own > 0)

    def _keep_first(self, numbers: Integers, counts: npt.NDArray[np.bool_]) -> None:
        """Sets `places`, where each n-gram first occurs in each item; n-gram k starts at `bounds[k]`."""
        places = np.flatnonzero((numbers > 0) & counts)
        places = places[np.argsort(numbers[places], kind="stable")]
        items = self.items.texts_at(places)
        again = (np.diff(numbers[places], prepend=0) == 0) & (np.diff(items, prepend=-1) == 0)
        self.places = places[~again]
        self.bounds = np.searchsorted(numbers[self.places], np.arange(numbers.max(initial=0) + 2))

    def find(self, texts: Words) -> pl.DataFrame:
        """A row for each (text, item) that share an n-gram, with their longest shared run."""
        codes, numbers = self.runs.of(texts, 1), self.runs.of(texts, self.n)
        here = np.flatnonzero(numbers)
        first, last = self.bounds[numbers[here]], self.bounds[numbers[here] + 1]
        parts = [
            self._runs(texts, codes, here[part], first[part], last[part])
            for part in bounded_parts(last - first)
        ]
        return _longest(pl.concat(parts or [pl.DataFrame(schema=PAIRS)]))

    def _runs(
        self, texts: Words, codes: Integers, here: Integers, first: Integers, last: Integers
    ) -> pl.DataFrame:
        """The longest shared run of each pair that shares the n-grams at `here`."""
        here, there = np.repeat(here, last - first), self.places[ranges(first, last)]
        starts = _run_starts(here, there, len(self.codes))
        here, there = here[starts], there[starts]
        before = count_equal(codes, self.codes, here - 1, there - 1, -1)
        after = count_equal(codes, self.codes, here + self.n, there + self.n, 1)
        runs = {
            "text": texts.texts_at(here),
            "item": self.items.texts_at(there),
            "start": here - before,
            "length": before + self.n + after,
        }
        return _longest(pl.DataFrame(runs, schema=PAIRS))


def _longest(runs: pl.DataFrame) -> pl.DataFrame:
    """Of each pair the longest run, the first of equal ones."""
    ordered = runs.sort("text", "item", "length", "start", descending=[False, False, True, False])
    return ordered.unique(["text", "item"], keep="first", maintain_order=True)


def bounded_parts(matches: Integers) -> list[slice]:
    """Consecutive slices that have at most MATCHES matches each, or are of one position."""
    ends = np.cumsum(matches)
    parts, start = [], 0
    while start < len(ends):
        limit = MATCHES + (ends[start - 1] if start else 0)
        stop = max(start + 1, int(np.searchsorted(ends, limit, side="right")))
        parts.append(slice(start, stop))
        start = stop
    return parts


def _half(n: int) -> int:
    """The largest power of two below n: two halves, which may overlap, make a run of n words."""
    return 1 << (n - 1).bit_length() - 1


def _pairs(numbers: Integers, shift: int) -> npt.NDArray[np.uint64]:
    """The numbers of the half at each position and the half `shift` later as one integer; 0 if one is
    missing."""
    pairs = np.zeros(len(numbers), np.uint64)
    first, second = numbers[:-shift], numbers[shift:]
    alive = np.flatnonzero((first > 0) & (second > 0))
    pairs[alive] = (first[alive].astype(np.uint64) << np.uint64(32)) | second[alive].astype(np.uint64)
    return pairs


def _pair_numbers(pairs: npt.NDArray[np.uint64], keys: npt.NDArray[np.uint64]) -> Integers:
    """Each pair's position in `keys`, from 1; 0 if it is not there."""
    numbers = np.zeros(len(pairs), np.int64)
    if len(keys):
        alive = np.flatnonzero(pairs)
        positions = np.searchsorted(keys, pairs[alive]).clip(max=len(keys) - 1)
        numbers[alive] = np.where(keys[positions] == pairs[alive], positions + 1, 0)
    return numbers


def _informative(masked: Words, n: int) -> npt.NDArray[np.bool_]:
    """Positions of n-grams that contain a number, but at most half of whose words are numbers."""
    with_number = masked.flat.str.contains(MARK, literal=True).to_numpy()
    numbers = (masked.flat == MARK).to_numpy()
    return (_count(with_number, n) > 0) & (2 * _count(numbers, n) <= n)


def _count(flags: npt.NDArray[np.bool_], n: int) -> Integers:
    """Number of set flags among the n from each position on."""
    total = np.zeros(len(flags) + 1, np.int64)
    np.cumsum(flags, out=total[1:])
    return np.asarray(total[np.arange(n, len(flags) + n).clip(max=len(flags))] - total[:-1])


def ranges(first: Integers, last: Integers) -> Integers:
    """The ranges from each `first` to its `last`, concatenated."""
    lengths = last - first
    offsets = np.cumsum(lengths) - lengths
    return np.asarray(np.arange(lengths.sum()) + np.repeat(first - offsets, lengths))


def _run_starts(here: Integers, there: Integers, width: int) -> Integers:
    """Indices of matches that don't continue a match one word earlier in both texts."""
    matches = here * width + there
    return np.flatnonzero(~np.isin(matches - width - 1, matches))


def count_equal(a: Integers, b: Integers, i: Integers, j: Integers, step: int) -> Integers:
    """Number of equal words from `a[i]` and `b[j]` on in the direction of `step`, within text and item."""
    count = np.zeros(len(i), np.int64)
    alive = np.arange(len(i))
    while len(alive):
        offset = step * count[alive]
        ours, theirs = a[i[alive] + offset], b[j[alive] + offset]
        alive = alive[(ours == theirs) & (ours > 0)]
        count[alive] += 1
    return count
