"""Finds items that are too short for an n-gram: their whole run of words, inside any text.

An item counts from SHORTEST words and SHORTEST_LETTERS letters and digits on: "What is 2+2?" is in too many
texts by chance. Shorter items are found only where a whole text has the same words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.data.select.ngrams import PAIRS, Runs, bounded_parts, count_equal, ranges
from limo_ablate.data.select.words import Integers, Words

SHORTEST = 3
"""Words of an item."""
SHORTEST_LETTERS = 12
"""Letters and digits of an item; a word of Chinese, Japanese or Thai has only one."""
ANCHORS = (8, 4, 2)
"""Words of an anchor: the first that an item has."""


def too_short(items: Words) -> npt.NDArray[np.bool_]:
    """Whether each item is below the floor."""
    letters = items.count(items.flat.str.len_chars().to_numpy())
    return np.asarray((items.lengths() < SHORTEST) | (letters < SHORTEST_LETTERS))


class WholeIndex:
    """Index of the items that are `wanted`, in which the pool's problems are looked up.

    Each is looked up by its anchor, the run of its words that the fewest items have, and then compared.
    """

    def __init__(self, runs: Runs, wanted: npt.NDArray[np.bool_]) -> None:
        self.runs, items = runs, runs.items
        self._lengths = items.lengths()
        searched = wanted & ~too_short(items)
        sizes = np.select([self._lengths >= size for size in ANCHORS], ANCHORS, 1)
        self._anchors = {
            size: Anchors.of(runs, size, np.flatnonzero(searched & (sizes == size)))
            for size in np.unique(sizes[searched]).tolist()
        }

    def find(self, texts: Words) -> pl.DataFrame:
        """A row for each (text, item) where the item's words follow one another in the text."""
        codes = self.runs.of(texts, 1)
        parts = [pl.DataFrame(schema=PAIRS)]
        for size, anchors in self._anchors.items():
            numbers = self.runs.of(texts, size)
            here = np.flatnonzero(anchors.known[numbers])
            first, last = anchors.bounds[numbers[here]], anchors.bounds[numbers[here] + 1]
            for part in bounded_parts(last - first):
                parts.append(self._compared(texts, codes, anchors, here[part], first[part], last[part]))
        return (
            pl.concat(parts)
            .sort("text", "item", "start")
            .unique(["text", "item"], keep="first", maintain_order=True)
        )

    def _compared(
        self, texts: Words, codes: Integers, anchors: Anchors, here: Integers, first: Integers, last: Integers
    ) -> pl.DataFrame:
        """The pairs whose words are equal around the anchors at `here`."""
        here, items = np.repeat(here, last - first), anchors.items[ranges(first, last)]
        starts = here - anchors.offsets[items]
        inside = starts >= 0
        starts, items = starts[inside], items[inside]
        equal = count_equal(codes, self.runs.codes, starts, self.runs.items.starts[items], 1)
        whole = equal == self._lengths[items]
        starts, items = starts[whole], items[whole]
        found = {"text": texts.texts_at(starts), "item": items, "start": starts}
        return pl.DataFrame({**found, "length": self._lengths[items]}, schema=PAIRS)


@dataclass(frozen=True, slots=True)
class Anchors:
    """Runs of one length by which items are looked up."""

    known: npt.NDArray[np.bool_]
    """Number of a run -> whether it is an anchor."""
    items: Integers
    """Items in the order of their anchors' numbers; those of anchor k start at `bounds[k]`."""
    bounds: Integers
    offsets: Integers
    """Item -> words before its anchor."""

    @classmethod
    def of(cls, runs: Runs, size: int, items: Integers) -> Anchors:
        own, starts, lengths = runs.own(size), runs.items.starts, runs.items.lengths()
        counts = np.bincount(own, minlength=int(own.max(initial=0)) + 2)
        offsets = np.zeros(len(lengths), np.int64)
        for item in items.tolist():
            places = own[starts[item] : starts[item] + lengths[item] - size + 1]
            offsets[item] = int(counts[places].argmin())
        anchors = own[starts[items] + offsets[items]]
        order = np.argsort(anchors, kind="stable")
        known = np.zeros(len(counts), bool)
        known[anchors] = True
        bounds = np.searchsorted(anchors[order], np.arange(len(counts) + 1))
        return cls(known, items[order], bounds, offsets)
