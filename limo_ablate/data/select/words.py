"""Splits problem texts into words, for the contamination gate and the search for duplicates.

A word is a run of letters, their marks and digits of any script; in scripts that are written without spaces
(Chinese, Japanese, Thai, Lao, Khmer, Burmese), a single letter with its marks. With `separate`, anything else
separates words. With `delete`, anything else but white space is deleted, and the underscore is part of a
word, so that x_1 differs from x1. Texts are compared in lower case and in Unicode's compatibility form
(NFKC): composed and decomposed accents, ligatures and full-width letters are the same. A raised or lowered
number is a word of its own, so that x² is x^2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

Punctuation = Literal["separate", "delete"]
Integers = npt.NDArray[np.int64]

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\x{30FC}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}&&\p{L}"
_LETTERS, _MARKED = r"\p{L}\p{N}", r"\p{L}\p{N}\p{M}"
WORD = {
    "separate": rf"[{_UNSPACED}]\p{{M}}*|[{_LETTERS}--[{_UNSPACED}]][{_MARKED}--[{_UNSPACED}]]*",
    "delete": rf"[{_UNSPACED}]\p{{M}}*|[{_LETTERS}_--[{_UNSPACED}]][{_MARKED}_--[{_UNSPACED}]]*",
}
DELETED = rf"[^{_MARKED}_\s]"
BEYOND_ASCII = r"[^\x00-\x7f]"
INVISIBLE = r"[\p{Cf}\x{0640}]"
"""Characters without a meaning of their own: joiners, soft hyphens, the stroke that stretches Arabic."""
RAISED = r"[\x{00B2}\x{00B3}\x{00B9}\x{2070}-\x{209C}]+"
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
        column = split_words(texts, punctuation).alias("words")
        lists = column.to_frame().select(pl.concat_list("words", pl.lit(""))).to_series()
        return cls(lists.explode(), _starts(lists.list.len().cast(pl.Int64).to_numpy()))

    def count(self, each: npt.NDArray[Any]) -> Integers:
        """The sum over each text; `each`: a number, or a flag, for each of `flat`."""
        if not len(self.flat):
            return np.zeros(0, np.int64)
        return np.add.reduceat(each, self.starts[:-1], dtype=np.int64)

    def masked(self) -> Words:
        """The same words with every number replaced by MARK."""
        return Words(self.flat.str.replace_all(r"\p{Nd}+", MARK), self.starts)

    def lists(self) -> list[list[str]]:
        flat = self.flat.to_list()
        return [flat[start : end - 1] for start, end in pairwise(self.starts.tolist())]

    def joined(self) -> list[str]:
        """The words of each text, joined: equal if and only if two texts have the same words."""
        return [" ".join(words) for words in self.lists()]

    def lengths(self) -> Integers:
        """Number of words of each text."""
        return np.diff(self.starts) - 1

    def texts_at(self, positions: Integers) -> Integers:
        """The text that each position in `flat` belongs to."""
        return np.searchsorted(self.starts, positions, side="right") - 1


class Vocabulary:
    """The words of some texts, numbered from 1."""

    def __init__(self, words: Words) -> None:
        self._enum = pl.Enum(words.flat.filter(words.flat != "").unique().sort())
        self._last: list[tuple[Words, Integers]] = []

    def codes(self, words: Words) -> Integers:
        """Each word's number; 0 for unknown words and between texts. The last ones are kept."""
        for known, numbers in self._last:
            if known is words:
                return numbers
        codes = words.flat.cast(self._enum, strict=False).to_physical().cast(pl.Int64) + 1
        return self._remember(words, codes.fill_null(0).to_numpy())

    def keep(self, words: Words, kept: npt.NDArray[np.bool_]) -> Words:
        """Only the words at the positions in `kept`, which must include the end of each text."""
        codes = self.codes(words)[kept]
        fewer = Words(words.flat.filter(pl.Series(kept)), _starts(words.count(kept)))
        self._remember(fewer, codes)
        return fewer

    def _remember(self, words: Words, codes: Integers) -> Integers:
        self._last = [*self._last[-1:], (words, codes)]
        return codes


def _starts(lengths: Integers) -> Integers:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def split_words(texts: pl.Series, punctuation: Punctuation) -> pl.Series:
    """The list of each text's words."""
    column = texts.cast(pl.String).fill_null("").rename("text")
    beyond = column.str.contains(BEYOND_ASCII)
    if beyond.any():
        text = pl.col("text").str.replace_all(RAISED, " $0").str.normalize("NFKC")
        plain = column.filter(beyond).to_frame().select(text.str.replace_all(INVISIBLE, "")).to_series()
        column = column.scatter(beyond.arg_true(), plain)
    column = column.str.to_lowercase()
    if punctuation == "delete":
        column = column.str.replace_all(DELETED, "")
    return column.str.extract_all(WORD[punctuation])


def duplicate_of(texts: pl.Series | Sequence[str], punctuation: Punctuation) -> list[int | None]:
    """For each text, the position of the first earlier text with exactly the same words, or None.

    A text without words is not a duplicate. Only a digest of each text is kept in memory.
    """
    first: dict[bytes, int] = {}
    duplicates: list[int | None] = []
    for batch in pl.Series("text", texts, dtype=pl.String).to_frame().iter_slices(BATCH):
        for joined in split_words(batch.to_series(), punctuation).list.join(" "):
            position = len(duplicates)
            digest = hashlib.blake2b(joined.encode(), digest_size=16).digest()
            earlier = first.setdefault(digest, position) if joined else position
            duplicates.append(None if earlier == position else earlier)
    return duplicates
