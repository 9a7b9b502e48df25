"""Words, equal texts and clusters of near-equal ones."""

from typing import Literal

import polars as pl
import pytest

from limo_ablate.data.select.config import MinHashConfig
from limo_ablate.data.select.minhash import MinHashIndex, bands, clusters
from limo_ablate.data.select.words import Words, duplicate_of

ALIKE = MinHashConfig(threshold=0.7, shingle=3, permutations=128, seed=0)


@pytest.mark.parametrize(
    ("text", "separate", "delete"),
    [
        ("Find $x_{12}$ + 3.5!", "find x 12 3 5", "find x_12 35"),
        ("设f(x)在[0,1]上连续", "设 f x 在 0 1 上 连 续", "设 fx 在 01 上 连 续"),
        ("It's\n\u00a0\\frac12", "it s frac12", "its frac12"),
        ("\u0130\u212a \u00e9t\u00e9 \uff11", "i\u0307k \u00e9t\u00e9 1", "i\u0307k \u00e9t\u00e9 1"),
        ("∀∃", "", ""),
    ],
)
def test_words(text: str, separate: str, delete: str) -> None:
    texts = pl.Series([text, None, text])
    modes: tuple[tuple[Literal["separate", "delete"], str], ...] = (
        ("separate", separate),
        ("delete", delete),
    )
    for punctuation, expected in modes:
        assert Words.split(texts, punctuation).joined() == [expected, "", expected]


def test_no_texts_have_no_words() -> None:
    assert Words.split(pl.Series([], dtype=pl.String), "separate").lists() == []


def test_duplicates_point_to_the_first() -> None:
    texts = ["A b", "c", "a, B!", "!", "?", "a b", "a-b"]
    assert duplicate_of(texts, "separate") == [None, None, 0, None, None, 0, 0]
    assert duplicate_of(pl.Series([*texts, None]), "delete") == [None, None, 0, None, None, 0, None, None]
    assert duplicate_of([], "separate") == []


def test_clusters_are_chains_of_near_duplicates() -> None:
    base = [f"w{i}" for i in range(40)]
    chain = [" ".join(base[i:] + [f"v{j}" for j in range(i)]) for i in (0, 4, 8, 12)]
    texts = ["alone", chain[3], chain[0], "", chain[1], "Alone!", "", chain[2]]
    assert clusters(texts, ALIKE) == [0, 1, 1, 3, 1, 0, 6, 1]
    assert clusters([chain[0], chain[3]], ALIKE) == [0, 1]


@pytest.mark.parametrize(("threshold", "expected"), [(1.0, 1), (0.9, 16), (0.7, 32), (0.5, 64)])
def test_bands_find_what_is_at_the_threshold(threshold: float, expected: int) -> None:
    assert bands(MinHashConfig(threshold=threshold, shingle=5, permutations=128, seed=0)) == expected


def test_signatures_depend_on_words_and_seed_only() -> None:
    """Another library version with other signatures needs another version of the `flags` stage."""
    signature = MinHashIndex(ALIKE).signature(["a", "b", "c", "d"])
    assert signature.digest()[:4] == [3400004356, 3645625830, 3672270876, 3506307916]
