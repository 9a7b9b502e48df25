"""The words of problem texts, as the contamination gate and duplicate search compare them.

A word is a run of a-z and 0-9, or a single Chinese character (script Han). What else there is separates
words (`separate`); or it is deleted, white space apart and but for the underscore, which keeps x_1 from x1
(`delete`). Case is Unicode's: the Kelvin sign is a k, and the dotted capital I
is an i and a mark that is no letter.
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
"""Stands for a run of digits, also of those inside a word: 3x is #x."""
BATCH = 50_000
"""Texts split at a time."""


@dataclass(frozen=True, slots=True)
class Words:
    """The words of several texts, one text after the other."""

    flat: pl.Series
    """All words; each text is followed by an empty one, so that no run of words crosses into the next."""
    starts: Integers
    """Where each text begins, and the end."""

    @classmethod
    def split(cls, texts: pl.Series, punctuation: Punctuation) -> Words:
        column = texts.cast(pl.String).fill_null("").alias("text")
        ended = pl.concat_list(in_words(pl.col("text"), punctuation), pl.lit(""))
        lists = column.to_frame().select(ended).to_series()
        lengths = lists.list.len().cast(pl.Int64).to_numpy()
        return cls(lists.explode(), np.concatenate([[0], np.cumsum(lengths)]))

    def masked(self) -> Words:
        """The same with every number replaced by one mark."""
        return Words(self.flat.str.replace_all("[0-9]+", MARK), self.starts)

    def lists(self) -> list[list[str]]:
        flat = self.flat.to_list()
        return [flat[start : end - 1] for start, end in pairwise(self.starts.tolist())]

    def joined(self) -> list[str]:
        """Each text as its words; two texts have the same words if and only if these are equal."""
        return [" ".join(words) for words in self.lists()]

    def texts_at(self, positions: Integers) -> Integers:
        """Which text each position in `flat` belongs to."""
        return np.searchsorted(self.starts, positions, side="right") - 1


def in_words(text: pl.Expr, punctuation: Punctuation) -> pl.Expr:
    """The list of a text's words."""
    text = text.str.to_lowercase()
    if punctuation == "delete":
        text = text.str.replace_all(DELETED, "")
    return text.str.extract_all(WORD[punctuation])


def duplicate_of(texts: pl.Series | Sequence[str], punctuation: Punctuation) -> list[int | None]:
    """For each text the place of the first one with exactly the same words, if that is an earlier one.

    A text without words is nobody's duplicate. Only a digest of each text is kept.
    """
    frame = pl.Series("text", texts, dtype=pl.String).to_frame()
    words = in_words(pl.col("text"), punctuation).list.join(" ").fill_null("")
    first: dict[bytes, int] = {}
    found: list[int | None] = []
    for batch in frame.iter_slices(BATCH):
        for joined in batch.select(words).to_series():
            place = len(found)
            digest = hashlib.blake2b(joined.encode(), digest_size=16).digest()
            earlier = first.setdefault(digest, place) if joined else place
            found.append(None if earlier == place else earlier)
    return found
