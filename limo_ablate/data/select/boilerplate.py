"""Finds boilerplate: runs of words that are in so many texts that sharing them means nothing.

A prompt that stands around every question, or the template that questions are made from, would flag each
problem of a pool for each item of an exam. A run of RUN words is boilerplate if it is in more than a share of
a benchmark's different items, or of the pool's different problems, and in at least MIN_TEXTS of them. The
gate then compares texts without it.

What is common in the pool alone may be one item of the exam, reworded many times. So it still counts in an
item that consists of it by half or more, unless it is in most of the pool.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view

from limo_ablate.data.select.ngrams import Runs
from limo_ablate.data.select.words import Integers, Words

RUN = 8
"""Words of the runs that are counted."""
MIN_TEXTS = 5
"""Texts that must share a run."""
MOST = 0.5
"""Share of the pool that can't be one item reworded."""
CLEARLY = 0.5
"""A run whose share is below this part of the share of one that overlaps with it straddles that one's end."""
LISTED = 20
"""Runs that are listed, the commonest ones."""

Flags = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Shares:
    """In which share of the different texts of one side each n-gram occurs."""

    size: int
    """Numbers of n-grams, 0 among them."""
    texts: int = 0
    counts: Integers = field(init=False)
    _seen: pl.Series = field(default_factory=lambda: pl.Series(dtype=pl.UInt64))

    def __post_init__(self) -> None:
        self.counts = np.zeros(self.size, np.int64)

    def add(self, words: Words, numbers: Integers, texts: pl.Series) -> None:
        """Counts the texts that were not counted before; `numbers`: of the n-gram at each position."""
        hashes = texts.hash()
        fresh = (hashes.is_first_distinct() & ~hashes.is_in(self._seen.implode())).to_numpy()
        self._seen = pl.concat([self._seen, hashes.filter(pl.Series(fresh))])
        self.texts += int(fresh.sum())
        here = np.flatnonzero(numbers)
        places = words.texts_at(here)
        pairs = np.sort((places * self.size + numbers[here])[fresh[places]])
        distinct = pairs[np.diff(pairs, prepend=-1) != 0]
        self.counts += np.bincount(distinct % self.size, minlength=self.size)

    def common(self, share: float) -> Flags:
        common = (self.counts >= MIN_TEXTS) & (self.counts > share * self.texts)
        common[0] = False
        return common

    def shares(self) -> npt.NDArray[np.float64]:
        return np.where(self.counts >= MIN_TEXTS, self.counts / max(1, self.texts), 0.0)

    def share(self, numbers: Integers) -> float:
        return float(self.counts[numbers].min() / self.texts) if self.texts else 0.0


class Boilerplate:
    """The boilerplate of some benchmarks and a pool, which `without` leaves out of their texts.

    `runs`: of all items. `benchmarks`: the bounds of each benchmark's items in them. `texts`: the
    items' texts. `pool`: words and texts of the pool's problems, in batches.
    """

    def __init__(
        self,
        runs: Runs,
        texts: pl.Series,
        benchmarks: dict[str, tuple[int, int]],
        pool: Iterable[tuple[Words, pl.Series]],
        share: float,
    ) -> None:
        self._runs = runs
        items, own = runs.items, runs.own(RUN)
        size = int(own.max(initial=0)) + 1
        self._exams = {name: Shares(size) for name in benchmarks}
        for name, (first, last) in benchmarks.items():
            part = slice(items.starts[first], items.starts[last])
            exam = Words(items.flat[part], items.starts[first : last + 1] - items.starts[first])
            self._exams[name].add(exam, own[part], texts[first:last])
        self._pool = Shares(size)
        for words, batch in pool:
            self._pool.add(words, self._runs.of(words, RUN), batch)
        straddling = self._straddling()
        in_exam = np.zeros(size, bool)
        for exam_shares in self._exams.values():
            in_exam |= exam_shares.common(share) & ~straddling
        in_pool = self._pool.common(share) & ~in_exam & ~straddling
        self._common = in_exam | (in_pool & ~self._kept(items, in_pool))

    def _straddling(self) -> Flags:
        """The runs that are a commoner run's end and a few words more, wherever they occur in the items."""
        own = self._runs.own(RUN)
        shares = np.maximum.reduce([side.shares() for side in (*self._exams.values(), self._pool)])
        here = shares[own]
        around = sliding_window_view(np.pad(here, RUN - 1), 2 * RUN - 1).max(axis=1)
        inside = np.zeros(len(shares), bool)
        inside[own[here >= CLEARLY * around]] = True
        return ~inside

    def _kept(self, items: Words, in_pool: Flags) -> Flags:
        """The runs, common in the pool alone, that some item consists of by half or more."""
        own = self._runs.own(RUN)
        covered = items.count(_covered(in_pool[own]))
        mainly = 2 * covered >= items.lengths()
        kept = np.zeros(len(in_pool), bool)
        kept[own[np.repeat(mainly, np.diff(items.starts))]] = True
        return kept & ~self._pool.common(MOST)

    def without(self, words: Words) -> Words:
        """The texts without boilerplate."""
        covered = self._covered_words(words) if self._common.any() else np.zeros(0, bool)
        return self._runs.vocabulary.keep(words, ~covered) if covered.any() else words

    def _covered_words(self, words: Words) -> Flags:
        return _covered(self._common[self._runs.of(words, RUN)])

    def listed(self) -> list[dict[str, Any]]:
        """The commonest runs, as the items have them: words, benchmark, and their share of both sides."""
        covered = self._covered_words(self._runs.items)
        counted: Counter[str] = Counter()
        where: dict[str, tuple[int, int]] = {}
        flat = self._runs.items.flat
        for start, end in _segments(covered):
            run = " ".join(flat[start:end])
            counted[run] += 1
            where.setdefault(run, (start, end))
        return [{"words": run, **self._shares_of(*where[run])} for run, _ in counted.most_common(LISTED)]

    def _shares_of(self, start: int, end: int) -> dict[str, Any]:
        numbers = self._runs.own(RUN)[start : end - RUN + 1]
        exams = {name: round(shares.share(numbers), 4) for name, shares in self._exams.items()}
        return {
            "benchmarks": {name: share for name, share in exams.items() if share},
            "pool": round(self._pool.share(numbers), 4),
        }


def _covered(starts: Flags) -> Flags:
    """The positions within RUN words from each flagged one on."""
    last = np.where(starts, np.arange(len(starts)), -RUN)
    return np.asarray(np.arange(len(starts)) - np.maximum.accumulate(last) < RUN)


def _segments(covered: Flags) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(covered.astype(np.int8), prepend=0, append=0))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
