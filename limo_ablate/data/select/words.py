"""Splits problem texts into words, for the contamination gate and the search for duplicates.

A word is a run of a-z and 0-9, or a single Chinese character (script Han). With `separate`, anything else
separates words. With `delete`, anything else but white space is deleted, and the underscore is part of a
word, so that x_1 differs from x1. Texts are lower-cased as Unicode defines it: the Kelvin sign becomes a k,
and the dotted capital I an i and a combining mark, which is not a letter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

Punctuation = Literal["separate", "delete"]
Integers = npt.NDArray[np.int64]

WORD = {"separate": r"[a-z0-9]+|\p{Han}", "delete": r"[a-z0-9_]+|\p{Han}"}
DELETED = r"[^a-z0-9_\s\p{Han}]"
MARK = "#"
"""Replacement for a run of digits, also inside a word: 3x becomes #x."""
BATCH = 50_000
"""Texts that are split at a time."""


@dataclass(frozen=True, slots=True)
class Words:
    """The words of several texts, concatenated."""

    flat: pl.Series
    """All words; an empty word follows each text, so that no run of words crosses into the next text."""
    starts: Integers
    """Position where each text begins, and the total length."""

    @classmethod
    def split(cls, texts: pl.Series, punctuation: Punctuation) -> Words:
        column = texts.cast(pl.String).fill_null("").alias("text")
        ended = pl.concat_list(split_words(pl.col("text"), punctuation), pl.lit(""))
        lists = column.to_frame().select(ended).to_series()
        lengths = lists.list.len().cast(pl.Int64).to_numpy()
        return cls(lists.explode(), np.concatenate([[0], np.cumsum(lengths)]))

    def masked(self) -> Words:
        """The same words with every number replaced by MARK."""
        return Words(self.flat.str.replace_all("[0-9]+", MARK), self.starts)

    def lists(self) -> list[list[str]]:
        flat = self.flat.to_list()
        return [flat[start : end - 1] for start, end in pairwise(self.starts.tolist())]

    def joined(self) -> list[str]:
        """The words of each text, joined: equal if and only if two texts have the same words."""
        return [" ".join(words) for words in self.lists()]

    def texts_at(self, positions: Integers) -> Integers:
        """The text that each position in `flat` belongs to."""
        return np.searchsorted(self.starts, positions, side="right") - 1


def split_words(text: pl.Expr, punctuation: Punctuation) -> pl.Expr:
    """The list of a text's words."""
    text = text.str.to_lowercase()
    if punctuation == "delete":
        text = text.str.replace_all(DELETED, "")
    return text.str.extract_all(WORD[punctuation])


def duplicate_of(texts: pl.Series | Sequence[str], punctuation: Punctuation) -> list[int | None]:
    """For each text, the position of the first earlier text with exactly the same words, or None.

    A text without words is not a duplicate. Only a digest of each text is kept in memory.
    """
    frame = pl.Series("text", texts, dtype=pl.String).to_frame()
    words = split_words(pl.col("text"), punctuation).list.join(" ").fill_null("")
    first: dict[bytes, int] = {}
    duplicates: list[int | None] = []
    for batch in frame.iter_slices(BATCH):
        for joined in batch.select(words).to_series():
            position = len(duplicates)
            digest = hashlib.blake2b(joined.encode(), digest_size=16).digest()
            earlier = first.setdefault(digest, position) if joined else position
            duplicates.append(None if earlier == position else earlier)
    return duplicates
