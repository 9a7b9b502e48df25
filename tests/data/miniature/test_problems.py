"""The miniature's problems and solutions: right by arithmetic, and train and test never meet."""

import re

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.data.miniature.recurrence import MiniatureProblemsConfig, parse, problems
from limo_ablate.data.miniature.solutions import solutions
from limo_ablate.verify import verify


def made(holdout: str, seed: int = 0, per_level: int = 30) -> list[dict]:
    config = MiniatureProblemsConfig(per_level=per_level, levels=(1, 9), seed=seed, holdout=holdout)  # type: ignore[arg-type]
    return problems(config)


def by_hand(text: str) -> int:
    """An independent reading of a problem: the rule's operations in turn, modulo 100."""
    steps, rule, value = int(text[6]), re.findall(r"[-+*]\d", text.split(".")[1]), int(text[-3:-1])
    for step in range(steps):
        sign, number = rule[step % 3][0], int(rule[step % 3][1])
        value = {"+": value + number, "-": value - number, "*": value * number}[sign] % 100
    return value


def test_gold_answers_are_right() -> None:
    for row in made("train"):
        assert int(row["gold"]) == by_hand(row["text"])
        assert row["level"] == parse(row["text"]).steps


def test_train_and_test_are_disjoint_for_any_seed() -> None:
    train = {row["text"] for seed in range(3) for row in made("train", seed, 100)}
    test = {row["text"] for seed in range(3) for row in made("test", seed, 100)}
    assert not train & test
    assert len({row["id"] for row in made("train", 0, 100)}) == 900


def test_a_smaller_set_is_the_beginning_of_a_larger_one() -> None:
    small, large = made("test", per_level=5), made("test", per_level=30)
    assert [r["id"] for r in small if r["level"] == 4] == [r["id"] for r in large if r["level"] == 4][:5]


def test_every_tier_ends_in_the_right_box() -> None:
    rows = made("train", per_level=3)
    gold = {row["id"]: row["gold"] for row in rows}
    for row in solutions(rows):
        assert verify(row["text"], gold[row["problem"]], extract="boxed").status == "correct", row


def test_lower_tiers_contain_less() -> None:
    rows = [row for row in made("train", per_level=2) if row["level"] == 9]
    text = {row["tier"]: row["text"] for row in solutions(rows[:1])}
    lengths = [len(text[tier]) for tier in ("L5", "L4", "L3", "L2", "L1")]
    assert lengths == sorted(lengths, reverse=True)
    steps = {tier: text[tier].split(". ")[:-2] for tier in text}
    assert sorted(steps["shuffled"]) == sorted(steps["L4"]) != steps["shuffled"]
    assert set(steps["skipped"]) < set(steps["L4"])


def test_levels_out_of_range_are_refused() -> None:
    config = MiniatureProblemsConfig(per_level=1, levels=(1, 12), seed=0, holdout="train")
    with pytest.raises(UserError, match=r"miniature.levels=\[1, 12\]: must be within 1 to 9"):
        problems(config)
