"""MinHash signatures: those of many texts at once are those of each alone."""

from __future__ import annotations

import polars as pl
import pytest

from limo_ablate.data.select import minhash
from limo_ablate.data.select.config import MinHashConfig
from limo_ablate.data.select.minhash import MinHashIndex
from limo_ablate.data.select.words import Words

TEXTS = ["one two three four", "", "one two", "three", "one two three four five six", "!", "one two three"]


@pytest.mark.parametrize("at_once", [1, 2, 1_000])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_signatures_of_many_texts_are_those_of_each_alone(
    monkeypatch: pytest.MonkeyPatch, at_once: int, size: int
) -> None:
    monkeypatch.setattr(minhash, "TEXTS", at_once)
    index = MinHashIndex(MinHashConfig(threshold=0.7, shingle=size, permutations=64, seed=3))
    found = dict(index.signatures_of(Words.split(pl.Series(TEXTS), "separate")))
    alone = {place: index.signature(text.split()) for place, text in enumerate(TEXTS) if text.strip("!")}
    assert found.keys() == alone.keys()
    assert [one.digest() for one in found.values()] == [alone[place].digest() for place in found]
