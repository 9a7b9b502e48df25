"""Arms with the same number of response tokens, and what can't be had."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.data.select.token_budget import TOLERANCE, TokenCounter, choose_for_budget
from tests.data.select.sample_pool import SELECT, choose, sample_pool

COUNTER = TokenCounter(lambda texts: [len(text.split()) for text in texts], "words")


@given(
    st.lists(st.sampled_from([17, 30, 43, 56, 400]) | st.integers(1, 400), min_size=5, max_size=60),
    st.floats(0.1, 0.9),
)
def test_a_budget_is_met_within_half_a_per_cent(lengths: list[int], share: float) -> None:
    target = int(share * sum(lengths))
    try:
        places = choose_for_budget(lengths, target, None)
    except UserError:
        sums = {0}
        for length in lengths:
            sums |= {s + length for s in sums if s + length <= target * (1 + TOLERANCE)}
        assert max(sums) < target * (1 - TOLERANCE)  # there is no such choice of rows
        return
    assert abs(sum(lengths[i] for i in places) - target) <= TOLERANCE * target
    assert places == sorted(set(places))


@given(st.integers(0, 10_000))
def test_size_and_tokens_together(seed: int) -> None:
    import random

    lengths = [random.Random(seed + i).randint(50, 5000) for i in range(500)]
    for target in (150_000, 200_000, 320_000):
        places = choose_for_budget(lengths, target, 100)
        assert len(places) == 100
        assert abs(sum(lengths[i] for i in places) - target) <= TOLERANCE * target


def test_a_budget_that_the_first_rows_meet_takes_them() -> None:
    assert choose_for_budget([10, 20, 30, 40, 50], 60, None) == [0, 1, 2]
    assert choose_for_budget([10, 20, 30, 40, 50], 30, 2) == [0, 1]


def test_an_unreachable_budget_is_refused_with_the_nearest_total() -> None:
    with pytest.raises(UserError, match=r"select.tokens=1000: 3 rows pass; .* 60 tokens"):
        choose_for_budget([10, 20, 30], 1000, None)
    with pytest.raises(UserError, match=r"2 of the 3 rows that pass have 30 to 50 tokens"):
        choose_for_budget([10, 20, 30], 1000, 2)


@pytest.mark.parametrize("carried", [True, False])
def test_tiers_matched_by_tokens(tmp_path: Path, carried: bool) -> None:
    """L5's solutions are five times L1's; matched, every tier has L1's tokens at this size, within 1 %."""
    store = Store(tmp_path)
    problems = [{"id": f"p{n}", "gold": "1"} for n in range(200)]
    solutions = [
        {"problem": f"p{n}", "text": "w " * words, "tier": f"L{k}", "tokens": words if carried else None}
        for n in range(200)
        for k in range(1, 6)
        for words in [k * (20 + n % 17)]
    ]
    pool = sample_pool(store, problems, solutions)
    totals = {}
    for tier in ("L1", "L2", "L3", "L4", "L5"):
        config = replace(SELECT, size=150, tokens="match", quality=tier)  # type: ignore[arg-type]
        rows = choose(store, pool, config, counter=None if carried else COUNTER).rows
        totals[tier] = rows["tokens"].sum()
        assert rows.height <= 150
    assert max(totals.values()) <= 1.01 * min(totals.values())
    config = replace(SELECT, size=150, quality="L1")
    assert totals["L1"] == sum(len(text.split()) for text in choose(store, pool, config).rows["response"])


def test_many_rows_with_many_tokens_and_too_few_rows(tmp_path: Path) -> None:
    """More rows than are looked at first; and a size that does not pass is refused, tokens or not."""
    store = Store(tmp_path)
    problems = [{"id": f"p{n}", "gold": "1"} for n in range(4000)]
    solutions = [{"problem": f"p{n}", "text": "w", "tier": "L5", "tokens": 10 + n % 7} for n in range(4000)]
    pool = sample_pool(store, problems, solutions)
    selected = choose(store, pool, replace(SELECT, size=3000, tokens=39_500)).rows
    assert selected.height == 3000
    assert abs(selected["tokens"].sum() - 39_500) <= TOLERANCE * 39_500
    with pytest.raises(UserError, match=r"select.size=4001, but only 4,000 rows pass"):
        choose(store, pool, replace(SELECT, size=4001, tokens=10_000))


def test_a_match_needs_every_tier_at_this_size(tmp_path: Path) -> None:
    store = Store(tmp_path)
    problems = [{"id": f"p{n}", "gold": "1"} for n in range(4)]
    solutions = [
        {"problem": f"p{n}", "text": "w " * 9, "tier": t}
        for n in range(4)
        for t in ("L1", "L2")
        if n or t == "L1"
    ]
    config = replace(SELECT, size=4, tokens="match", quality="L1")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"select.tokens=match: tier L2 has only 3 rows"):
        choose(store, sample_pool(store, problems, solutions), config, counter=COUNTER)


def test_changed_responses_are_counted_anew(tmp_path: Path) -> None:
    """Whatever tokens the pool carries for what they were."""
    store = Store(tmp_path)
    problems = [{"id": f"p{n}", "gold": "1"} for n in range(40)]
    solutions = [{"problem": f"p{n}", "text": "w " * 100, "tier": "L5", "tokens": 100} for n in range(40)]
    config = replace(SELECT, size=None, tokens=20, perturb="format_only")
    rows = choose(store, sample_pool(store, problems, solutions), config, counter=COUNTER).rows
    assert rows["tokens"].to_list() == [1] * 20
