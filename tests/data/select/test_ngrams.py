"""The vectorised n-gram search finds what sets of n-grams find, and its runs are the longest."""

from itertools import product

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from limo_ablate.data.select.ngrams import NgramIndex, Runs
from limo_ablate.data.select.words import Words

TEXTS = st.lists(st.lists(st.sampled_from(["a", "b", "c", "1", "22", "3x", "中"]), max_size=12), max_size=6)


def words(texts: list[list[str]]) -> Words:
    return Words.split(pl.Series([" ".join(text) for text in texts], dtype=pl.String), "separate")


def grams(text: list[str], n: int) -> set[tuple[str, ...]]:
    return {tuple(text[i : i + n]) for i in range(len(text) - n + 1)}


@given(texts=TEXTS, items=TEXTS, n=st.integers(1, 9))
def test_pairs_are_those_of_sets(texts: list[list[str]], items: list[list[str]], n: int) -> None:
    pairs = NgramIndex(Runs(words(items)), n).find(words(texts)).select("text", "item").rows()
    expected = [
        (i, j)
        for (i, text), (j, item) in product(enumerate(texts), enumerate(items))
        if grams(text, n) & grams(item, n)
    ]
    assert pairs == expected


@given(texts=TEXTS, items=TEXTS, n=st.integers(1, 6))
def test_masked_pairs_are_those_of_sets(texts: list[list[str]], items: list[list[str]], n: int) -> None:
    def telling(text: list[str]) -> set[tuple[str, ...]]:
        masked = [{"1": "#", "22": "#", "3x": "#x"}.get(word, word) for word in text]
        return {g for g in grams(masked, n) if {"#", "#x"} & set(g) and 2 * g.count("#") <= n}

    pairs = NgramIndex(Runs(words(items).masked()), n, masked=True).find(words(texts).masked())
    expected = [
        (i, j)
        for (i, text), (j, item) in product(enumerate(texts), enumerate(items))
        if telling(text) & telling(item)
    ]
    assert pairs.select("text", "item").rows() == expected


@given(texts=TEXTS, items=TEXTS, n=st.integers(1, 4))
def test_runs_are_shared_and_go_as_far_as_they_can(
    texts: list[list[str]], items: list[list[str]], n: int
) -> None:
    split = words(texts)
    for text, item, start, length in NgramIndex(Runs(words(items)), n).find(split).iter_rows():
        begin = start - int(split.starts[text])
        run = texts[text][begin : begin + length]
        assert len(run) == length >= n
        assert tuple(run) in grams(items[item], length)
        if not any(grams(texts[text], n + 1) & grams(items[item], n + 1)):
            assert length == n
