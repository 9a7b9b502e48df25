"""Finds items that are too short for an n-gram: their whole run of words, inside any text.

An item counts from SHORTEST words and SHORTEST_LETTERS letters and digits on: "What is 2+2?" is in too many
texts by chance. Shorter items are found only where a whole text has the same words.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.data.select.ngrams import PAIRS, NgramNumbers, pair_numbers, pairs_of
from limo_ablate.data.select.words import Integers, Vocabulary, Words

SHORTEST = 3
"""Words of an item."""
SHORTEST_LETTERS = 12
"""Letters and digits of an item; a word of Chinese, Japanese or Thai has only one."""


def too_short(items: Words) -> npt.NDArray[np.bool_]:
    """Whether each item is below the floor."""
    letters = items.count(items.flat.str.len_chars().to_numpy())
    return np.asarray((items.lengths() < SHORTEST) | (letters < SHORTEST_LETTERS))


class WholeIndex:
    """Index of the items that are `wanted`, in which the pool's problems are looked up."""

    def __init__(self, items: Words, wanted: npt.NDArray[np.bool_], vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        codes = vocabulary.codes(items)
        lengths = items.lengths()
        searched = wanted & ~too_short(items)
        self._halves: dict[int, NgramNumbers] = {}
        self._lengths: dict[int, tuple[npt.NDArray[np.uint64], Integers, Integers]] = {}
        """Length -> keys of the items of that length, the bounds of each key's items, and the items."""
        short = codes * np.repeat(searched, np.diff(items.starts))
        for length in np.unique(lengths[searched]).tolist():
            self._add(short, items.starts, length, np.flatnonzero(searched & (lengths == length)))

    def _add(self, codes: Integers, starts: Integers, length: int, items: Integers) -> None:
        half = _half(length)
        if half not in self._halves:
            self._halves[half] = NgramNumbers(codes, half)
        pairs = pairs_of(self._halves[half].own, length - half)[starts[items]]
        order = np.argsort(pairs, kind="stable")
        keys, first = np.unique(pairs[order], return_index=True)
        self._lengths[length] = keys, np.append(first, len(items)), items[order]

    def find(self, texts: Words) -> pl.DataFrame:
        """A row for each (text, item) where the item's words follow one another in the text."""
        codes = self.vocabulary.codes(texts)
        numbers = {half: known.of(codes) for half, known in self._halves.items()}
        parts = [pl.DataFrame(schema=PAIRS)]
        for length, (keys, bounds, items) in self._lengths.items():
            half = _half(length)
            found = pair_numbers(pairs_of(numbers[half], length - half), keys)
            here = np.flatnonzero(found)
            first, last = bounds[found[here] - 1], bounds[found[here]]
            runs = {"text": texts.texts_at(here), "start": here, "first": first, "last": last}
            once = pl.DataFrame(runs).unique(["text", "first"], keep="first", maintain_order=True)
            each = once.with_columns(place=pl.int_ranges("first", "last")).explode("place")
            parts.append(
                each.select(
                    "text",
                    item=pl.Series(items[each["place"].to_numpy()], dtype=pl.Int64),
                    start="start",
                    length=pl.lit(length, pl.Int64),
                )
            )
        return pl.concat(parts).sort("text", "item", maintain_order=True)


def _half(length: int) -> int:
    """The largest power of two that is below the length: two overlapping halves make the whole run."""
    return 1 << (length - 1).bit_length() - 1
