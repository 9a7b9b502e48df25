"""Mixtures of sources, teachers, tiers and levels: exact shares in every size, of rows or of tokens."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.core.artifacts import Artifact, Store, json_default
from limo_ablate.core.errors import UserError
from limo_ablate.data.select.selection import Selected, available_rows
from tests.data.select.sample_pool import DATA, SELECT, choose, evidence, sample_pool

CONFIG = replace(SELECT, quality="any")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def pool(store: Store) -> Artifact:
    """40 problems of `a`, 20 of `b`, 5 of `c`, each solved by two teachers; `b`'s solutions are long."""
    sources = "a" * 40 + "b" * 20 + "c" * 5
    problems = [
        {"id": f"p{i}", "gold": "1", "source": source, "level": i % 5 + 1} for i, source in enumerate(sources)
    ]
    solutions = [
        {"problem": f"p{i}", "text": f"{teacher} {i}", "teacher": teacher, "tier": tier,
         "tokens": (30 if sources[i] == "b" else 10) + i % 3}
        for i in range(65)
        for teacher, tier in (("r1", "L5"), ("qwq", "L1"))
    ]  # fmt: skip
    return sample_pool(store, problems, solutions)


def chosen(store: Store, pool: Artifact, **changes: Any) -> Selected:
    return choose(store, pool, replace(CONFIG, **changes))


def counts(rows: pl.DataFrame, column: str) -> dict[Any, int]:
    return dict(rows.group_by(column).len().sort(column).iter_rows())


@pytest.mark.parametrize("order", ["random", "longest"])
def test_every_size_has_the_shares_and_smaller_ones_are_part_of_larger(
    store: Store, pool: Artifact, order: str
) -> None:
    shares = {"a": 0.5, "b": 0.4, "c": 0.1}
    large = chosen(store, pool, size=50, shares=shares, order=order).rows
    assert counts(large, "source") == {"a": 25, "b": 20, "c": 5}
    assert large["problem"].n_unique() == 50
    for size in (10, 20, 37):
        small = chosen(store, pool, size=size, shares=shares, order=order).rows
        assert small["problem"].to_list() == large["problem"].to_list()[:size]
        assert counts(small, "source") == pytest.approx({k: size * v for k, v in shares.items()}, abs=1)


def test_other_rows_are_left_out_and_a_share_of_0_is_none(store: Store, pool: Artifact) -> None:
    rows = chosen(store, pool, size=20, shares={"a": 1.0, "b": 0.0}).rows
    assert counts(rows, "source") == {"a": 20}
    whole = chosen(store, pool, size=None, shares={"a": 0.75, "b": 0.25})
    assert counts(whole.rows, "source") == {"a": 40, "b": 13}
    excluded = whole.funnel.excluded().filter(pl.col("step") == "shares")
    assert excluded.height == 130 - 53
    assert "not in the shares of source" in excluded["reason"][0]


def test_more_rows_than_a_part_has_are_refused(store: Store, pool: Artifact) -> None:
    shares = {"a": 0.5, "c": 0.5}
    with pytest.raises(
        UserError, match=r"select.size=12, but only 11 rows pass .*shares: 11.*select.shares=null"
    ):
        chosen(store, pool, size=12, shares=shares)
    config = replace(CONFIG, shares=shares, size=12)
    assert available_rows(config, DATA, pool, evidence(store, pool)).rows.height == 11  # at most


@pytest.mark.parametrize(
    ("by", "shares"), [("teacher", {"r1": 0.9, "qwq": 0.1}), ("tier", {"L5": 0.9, "L1": 0.1})]
)
def test_a_problem_of_two_teachers_is_taken_once(
    store: Store, pool: Artifact, by: str, shares: dict[str, float]
) -> None:
    rows = chosen(store, pool, size=60, shares=shares, shares_by=by).rows
    assert counts(rows, by) == {name: round(60 * share) for name, share in sorted(shares.items())}
    assert rows["problem"].n_unique() == 60


def test_levels_and_bands_are_parts_too(store: Store, pool: Artifact) -> None:
    rows = chosen(store, pool, size=10, shares={"1": 0.3, "5": 0.7}, shares_by="level").rows
    assert counts(rows, "level") == {1.0: 3, 5.0: 7}
    rows = chosen(store, pool, size=10, shares={"easy": 1.0}, shares_by="difficulty").rows
    assert rows["level"].is_between(1, 3).all()


def test_with_a_token_budget_the_shares_are_of_tokens(store: Store, pool: Artifact) -> None:
    shares = {"a": 0.7, "b": 0.3}
    rows = chosen(store, pool, size=None, tokens=600, shares=shares).rows
    tokens = dict(rows.group_by("source").agg(pl.col("tokens").sum()).iter_rows())
    assert tokens == pytest.approx({"a": 420, "b": 180}, rel=0.005)
    both = chosen(store, pool, size=40, tokens=676, shares={"a": 0.7, "b": 0.3}).rows
    assert counts(both, "source") == {"a": 28, "b": 12}
    assert both["tokens"].sum() == pytest.approx(676, rel=0.005)
    with pytest.raises(
        UserError, match=r"select.shares.a=0.7: select.tokens=7000: 80 rows pass|nearest total"
    ):
        chosen(store, pool, size=None, tokens=10_000, shares=shares)


def test_tiers_that_lack_a_part_matter_to_match_alone(store: Store) -> None:
    problems = [{"id": f"p{i}", "gold": "1", "source": "ab"[i % 2]} for i in range(40)]
    solutions = [
        {"problem": f"p{i}", "text": f"{i}", "tokens": 10, "tier": "L5" if i % 2 or i > 20 else "L1"}
        for i in range(40)
    ]
    pool, shares = sample_pool(store, problems, solutions), {"a": 0.7, "b": 0.3}
    rows = chosen(store, pool, size=None, tokens=200, shares=shares).rows
    assert counts(rows, "source") == {"a": 14, "b": 6}
    with pytest.raises(UserError, match=r"select.tokens=match: tier L1: select.shares.b: no row"):
        chosen(store, pool, quality="L5", size=5, tokens="match", shares=shares)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shares": {"a": 0.7, "b": 0.2}}, "add up to 1, not 0.9"),
        ({"shares": {"a": 1.5, "b": -0.5}}, "must be 0 to 1"),
        ({"shares": {"a": 1.0}, "shares_by": "tier", "tokens": "match", "size": 5}, "compares tiers, which"),
    ],
)
def test_shares_that_can_t_be(changes: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        replace(CONFIG, **changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"shares": {"a": 0.5, "bb": 0.5}},
            r"select.shares.bb: no row .* has this source.*There are: a, b, c",
        ),
        (
            {"shares": {"hrd": 1.0}, "shares_by": "difficulty"},
            r"not a band of data.difficulty; did you mean hard",
        ),
        ({"shares": {"hard": 1.0}, "shares_by": "level"}, "select.shares.hard: not a level"),
    ],
)
def test_parts_that_are_not_there(store: Store, pool: Artifact, changes: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        chosen(store, pool, size=5, **changes)


def test_a_selection_without_shares_has_the_key_it_had() -> None:
    assert not {"shares", "shares_by"} & json_default(SELECT).keys()
