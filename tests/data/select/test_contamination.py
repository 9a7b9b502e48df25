"""The gate between pool and benchmarks: what each method flags, with which evidence, and on real data."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.data.select.config import ContaminationConfig, MinHashConfig
from limo_ablate.data.select.contamination import flags

NOTHING = ContaminationConfig(
    policy="none",
    punctuation="separate",
    exact=False,
    ngrams=(),
    masked_ngrams=(),
    minhash=None,
    also={},
    boilerplate=None,
)
EXACT = replace(NOTHING, exact=True)
MINHASH = replace(NOTHING, minhash=MinHashConfig(threshold=0.7, shingle=3, permutations=128, seed=0))
ALL = replace(EXACT, ngrams=(4,), masked_ngrams=(4,), minhash=MINHASH.minhash)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def saved(store: Store, stage: str, name: str, texts: list[str]) -> Artifact:
    frame = pl.DataFrame({"id": [f"{name}{i}" for i in range(len(texts))], "text": texts})
    return store.build(stage, {"name": name}, lambda folder: frame.write_parquet(folder / "problems.parquet"))


def found(
    store: Store, config: ContaminationConfig, texts: list[str], benchmarks: Mapping[str, list[str]]
) -> pl.DataFrame:
    known = {name: saved(store, "benchmark", name, items) for name, items in benchmarks.items()}
    return pl.read_parquet(
        flags(store, config, saved(store, "pool", "p", texts), known).path / "flags.parquet"
    )


APPLES = "Tom has 12 red apples and eats 5 of them."


@pytest.mark.parametrize(
    ("changes", "problem", "item", "evidence"),
    [
        ({"exact": True}, "Find $x$: 2x = 4!", "find x 2x (4)", "find x 2x 4"),
        ({"exact": True}, "Find 2x = 4", "find 2 x = 4", None),
        ({"exact": True}, "$$ - $$", "!", None),  # no words, no evidence
        ({"ngrams": (4,)}, APPLES, "Ann has 12 red apples and pears", "has 12 red apples and"),
        ({"ngrams": (4,)}, APPLES, "Ann has 12 red pears", None),
        ({"ngrams": (9,)}, "red apples", "red apples", None),  # shorter than n
        ({"ngrams": (4,)}, "a b c d. x a b c d e", "a b c d e", "a b c d e"),  # the longest run
        ({"ngrams": (1,)}, "one two", "three two", "two"),
        ({"ngrams": (6,)}, APPLES, "Tom has 13 red apples and eats 6 of them.", None),
        ({"masked_ngrams": (4,)}, APPLES, "He has 3 red apples too", "has # red apples"),
        ({"masked_ngrams": (5,)}, APPLES, "He has 3 red apples too", None),
        ({"masked_ngrams": (3,)}, "solve 3x = y", "solve 14x = y", "solve #x y"),
        ({"masked_ngrams": (3,)}, "red apples and pears", "red apples and pears", None),  # no number
        ({"masked_ngrams": (3,)}, "1 2 3 4", "5 6 7 8", None),  # nothing but numbers
        ({"masked_ngrams": (4,)}, "draw (1, 2, 3)", "draw (7, 8, 9)", None),  # numbers mostly
        ({"ngrams": (4,)}, "已知集合 M", "求知集合 M 和 N", "知 集 合 m"),
        ({"ngrams": (2,)}, "x_1 + y", "x1 + y", None),
        ({"ngrams": (2,), "punctuation": "delete"}, "x_1 + y", "$x_1$ y", "x_1 y"),
        ({"ngrams": (2,), "punctuation": "delete"}, "a\tb-c", "a bc", "a bc"),
        ({"ngrams": (2,)}, "5 \N{KELVIN SIGN} hot", "5 k", "5 k"),
    ],
)
def test_one_method_on_one_pair(
    store: Store, changes: dict[str, object], problem: str, item: str, evidence: str | None
) -> None:
    rows = found(store, replace(NOTHING, **changes), [problem], {"b": [item]})  # type: ignore[arg-type]
    assert rows["evidence"].to_list() == ([] if evidence is None else [evidence])


def test_the_same_problem_with_other_numbers_is_masked_only(store: Store) -> None:
    config = replace(EXACT, ngrams=(6,), masked_ngrams=(6,))
    rows = found(store, config, [APPLES], {"b": ["Tom has 30 red apples and eats 7 of them."]})
    assert rows["method"].to_list() == ["masked"]
    assert rows["evidence"].to_list() == ["tom has # red apples and eats # of them"]


def test_near_duplicates_carry_their_similarity(store: Store) -> None:
    item = "A bag holds three red and four blue balls and we draw two of them at random without looking"
    texts = [item.replace("looking", "peeking"), item + ".", item[:40], "Nothing of the kind."]
    rows = found(store, MINHASH, texts, {"b": [item]})
    assert rows["problem"].to_list() == ["p0", "p1"]
    assert 0.75 < rows["similarity"][0] < 1  # 16 of 18 shingles
    assert rows["similarity"][1] == 1
    assert rows["n"].to_list() == [3, 3]
    assert rows["evidence"][0] == item.lower().removesuffix(" looking")


def test_rows_are_whole_and_in_order(store: Store) -> None:
    texts = ["nothing here", "one two three 4 five", "zero one two three 4 five"]
    benchmarks = {"z": ["one two three 4 five", "one two three 4"], "a": ["", "one two three 4 five six"]}
    rows = found(store, ALL, texts, benchmarks)
    shown = [(r["problem"], r["benchmark"], r["item"], r["method"], r["n"]) for r in rows.to_dicts()]
    assert shown[:6] == [
        ("p1", "a", "a1", "masked", 4),
        ("p1", "a", "a1", "minhash", 3),
        ("p1", "a", "a1", "ngram", 4),
        ("p1", "z", "z0", "exact", None),
        ("p1", "z", "z0", "masked", 4),
        ("p1", "z", "z0", "minhash", 3),
    ]
    assert {row[0] for row in shown} == {"p1", "p2"}
    assert rows["evidence"].null_count() == 0
    assert rows.filter(method="exact")["similarity"].to_list() == [1]
    assert rows.filter(pl.col("method").is_in(["ngram", "masked"]))["similarity"].to_list() == [None] * 12


def test_long_evidence_is_cut_at_a_word(store: Store) -> None:
    text = " ".join(f"word{i}" for i in range(200))
    rows = found(store, ALL, [text], {"b": [text]})
    assert rows["method"].to_list() == ["exact", "masked", "minhash", "ngram"]
    plain, masked = rows["evidence"][0], rows["evidence"][1]
    assert set(rows["evidence"]) == {plain, masked}
    assert plain == text[: len(plain) - 2] + " …"
    assert 290 < len(plain) <= 302
    assert masked.startswith("word# word# ")


def test_nothing_shared_is_an_empty_table(store: Store) -> None:
    rows = found(store, ALL, ["some words", ""], {"b": ["others"]})
    assert rows.height == 0
    assert rows.schema == found(store, ALL, [APPLES], {"c": [APPLES]}).schema
    assert found(store, ALL, ["some words"], {}).height == 0


def test_the_same_question_is_the_same_artifact(tmp_path: Path) -> None:
    """Twice the same bytes; policy and the order of benchmarks are no part of the question, names are."""
    made = []
    for folder in ("one", "two"):
        store = Store(tmp_path / folder)
        pool, a, b = (saved(store, "s", name, [APPLES, "a b c d e f"]) for name in "pab")
        made.append(flags(store, ALL, pool, {"a": a, "b": b}))
    assert made[0].digest == made[1].digest
    again = flags(store, replace(ALL, policy="drop"), pool, {"b": b, "a": a})
    assert again.key == made[1].key
    assert flags(store, ALL, pool, {"a": a, "c": b}).key != made[1].key
    assert flags(store, replace(ALL, ngrams=(5,)), pool, {"a": a, "b": b}).key != made[1].key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ngrams": (8, 0)}, r"select.contamination.ngrams=\[8, 0\]: lengths must be 1 or more"),
        ({"masked_ngrams": (-1,)}, "masked_ngrams"),
        ({"policy": "report"}, "searches for nothing"),
        ({"minhash": MinHashConfig(threshold=0.1, shingle=5, permutations=4, seed=0)}, "too low for"),
    ],
)
def test_invalid_search_settings(store: Store, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        found(store, replace(NOTHING, **changes), ["x"], {"b": ["x"]})  # type: ignore[arg-type]


def test_a_similarity_is_a_share() -> None:
    with pytest.raises(UserError, match="threshold=2 must be above 0 and at most 1"):
        MinHashConfig(threshold=2, shingle=5, permutations=8, seed=0)


def real(shared: Path, name: str) -> list[str]:
    if name.startswith("limo-eval"):
        lines = (shared / name / "test.jsonl").read_text().strip().split("\n")
        return [json.loads(line)["problem"] for line in lines]
    return [row["problem"] for row in json.loads((shared / f"pools/{name}.json").read_text())]


NS = (8, 10, 13, 16, 20, 32)


@pytest.mark.parametrize(
    ("punctuation", "math", "aime"),
    [
        ("separate", (1151, 515, 277, 81, 52, 17), (377, 331, 234, 29, 4, 4)),
        ("delete", (881, 395, 100, 59, 36, 9), (354, 307, 24, 6, 4, 0)),
    ],
)
def test_problems_of_real_pools_that_share_an_ngram(
    store: Store, shared: Path, punctuation: str, math: tuple[int, ...], aime: tuple[int, ...]
) -> None:
    """The counts that others found on these files with a program of their own."""
    config = replace(NOTHING, punctuation=punctuation, ngrams=NS)  # type: ignore[arg-type]
    pool = real(shared, "math_train") + real(shared, "aime_1983_2023")
    benchmarks = {name: real(shared, f"limo-eval/{name}") for name in ("math", "aime")}
    rows = found(store, config, pool, benchmarks)
    for name, expected in (("math", math), ("aime", aime)):
        counts = [rows.filter(benchmark=name, method="ngram", n=n)["problem"].n_unique() for n in NS]
        assert counts == list(expected)


@pytest.mark.parametrize(("punctuation", "aime", "math"), [("separate", 356, 6), ("delete", 305, 4)])
def test_equal_problems_of_real_pools(
    store: Store, shared: Path, punctuation: str, aime: int, math: int
) -> None:
    config = replace(EXACT, punctuation=punctuation)  # type: ignore[arg-type]
    train, past = real(shared, "math_train"), real(shared, "aime_1983_2023")
    rows = found(store, config, past, {"train": train, "math": real(shared, "limo-eval/math")})
    assert rows.filter(benchmark="train")["problem"].n_unique() == aime
    assert rows.filter(benchmark="math")["item"].n_unique() == math
    pool = saved(store, "pool", "train", train)
    none = flags(store, config, pool, {"math": saved(store, "benchmark", "math", [])})
    assert pl.read_parquet(none.path / "flags.parquet").height == 0
