"""Means over seeds and their errors, against formulas, other software's, and planted effects."""

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from limo_ablate.analysis.answers import items
from limo_ablate.analysis.crossed import crossed
from limo_ablate.analysis.summary import summary
from limo_ablate.analysis.table import table
from limo_ablate.analysis.trials import load_trials
from tests.made_study import DIFFICULTY, SIZE_QUALITY, Making

HEALTH = {"boxed": 0.5, "lenient": 0.5, "no_answer": 0.0, "undecided": 0.0, "truncated": 0.0, "tokens": 10.0}
Tables = tuple[pl.DataFrame, pl.DataFrame]


def cell(accuracies: Any, name: str = "a", **factors: object) -> Tables:
    """`effects.table` and `effects.items` of one cell, from its seeds x problems accuracies."""
    matrix = np.asarray(accuracies, dtype=float)
    trials = [f"{name}{seed}" for seed in range(len(matrix))]
    rows = [
        {"trial": trial, "cell": name, "seed": seed, "score": "mini", "accuracy": matrix[seed].mean(), **HEALTH, **factors}  # noqa: E501
        for seed, trial in enumerate(trials)
    ]  # fmt: skip
    answers = [
        {"trial": trial, "score": "mini", "problem": f"p{i}", "accuracy": accuracy}
        for seed, trial in enumerate(trials)
        for i, accuracy in enumerate(matrix[seed])
    ]
    return pl.DataFrame(rows), pl.DataFrame(answers)


def joined(*cells: Tables) -> Tables:
    rows, answers = zip(*cells, strict=True)
    return pl.concat(rows), pl.concat(answers)


def one(tables: Tables, **options: Any) -> dict[str, Any]:
    (row,) = summary(*tables, by=["cell"], **options).iter_rows(named=True)
    return row


def matrix(seeds: int, problems: int, rng: np.random.Generator, seed_sd: float, item_sd: float) -> np.ndarray:
    """Right or wrong: a chance of 0.5 moved by the seed and by the problem, which all seeds share."""
    chance = 0.5 + rng.normal(0, seed_sd, (seeds, 1)) + rng.normal(0, item_sd, (1, problems))
    return rng.random((seeds, problems)) < chance


def test_errors_over_seeds_and_over_problems() -> None:
    answers = matrix(4, 60, np.random.default_rng(1), 0.05, 0.2).astype(float)
    row = one(cell(answers))
    assert (row["seeds"], row["problems"]) == (4, 60)
    assert row["mean"] == pytest.approx(answers.mean())
    assert row["seed_error"] == pytest.approx(stats.sem(answers.mean(axis=1)))
    assert row["item_error"] == pytest.approx(stats.sem(answers.mean(axis=0)))


def test_the_joint_error_is_that_of_a_two_way_analysis_of_variance() -> None:
    rng = np.random.default_rng(2)
    n, m = 5, 40
    y = 0.5 + rng.normal(0, 0.1, (n, 1)) + rng.normal(0, 0.2, (1, m)) + rng.normal(0, 0.1, (n, m))
    residual = y - y.mean(1, keepdims=True) - y.mean(0, keepdims=True) + y.mean()
    ms_seed, ms_item = m * y.mean(1).var(ddof=1), n * y.mean(0).var(ddof=1)
    ms_residual = (residual**2).sum() / ((n - 1) * (m - 1))
    variance = (ms_seed + ms_item - ms_residual) / (n * m)
    row = one(cell(y))
    assert row["stderr"] == pytest.approx(math.sqrt(variance))
    (half,) = crossed(y[None]).half_width(0.95)
    assert row["high"] - row["mean"] == pytest.approx(half)
    assert row["mean"] - row["low"] == pytest.approx(half)


def test_one_seed_has_the_error_over_problems_only() -> None:
    answers = matrix(1, 30, np.random.default_rng(3), 0, 0.1)
    row = one(cell(answers))
    assert row["seed_error"] is None
    assert row["stderr"] == row["item_error"] == pytest.approx(stats.sem(answers[0].astype(float)))
    low, high = stats.t.interval(0.95, 29, answers.mean(), row["stderr"])
    assert (row["low"], row["high"]) == (pytest.approx(low, abs=2e-3), pytest.approx(high, abs=2e-3))


def test_a_single_problem_has_no_error() -> None:
    row = one(cell(np.ones((3, 1))))
    assert (row["mean"], row["seeds"], row["problems"]) == (1, 3, 1)
    assert [row[name] for name in ("seed_error", "item_error", "stderr", "low", "high")] == [None] * 5


def test_problems_that_not_all_seeds_answered_are_left_out() -> None:
    rows, answers = cell(matrix(3, 20, np.random.default_rng(1), 0, 0.1))
    row = one((rows, answers[1:]))
    assert row["problems"] == 19
    assert row["mean"] == pytest.approx(answers.filter(pl.col("problem") != "p0")["accuracy"].mean())


def test_no_spread_at_all_is_no_certainty() -> None:
    """Of 20 problems none is solved: by the rule of three, up to 14 % may be."""
    row = one(cell(np.zeros((3, 20))))
    assert (row["mean"], row["low"]) == (0, 0)
    assert 0.1 < row["high"] < 0.2
    assert row["stderr"] > 0.02
    row = one(cell(np.ones((1, 20))))
    assert (row["mean"], row["high"]) == (1, 1)
    assert 0.8 < row["low"] < 0.9


def test_the_error_is_never_less_than_either_part() -> None:
    """Seeds closer to each other than chance would have it: their shared noise is not taken off twice."""
    answers = np.array([[1.0, 0.0] * 20, [0.0, 1.0] * 20])
    row = one(cell(answers))
    assert row["seed_error"] == 0
    assert row["stderr"] == row["item_error"]


def test_seeds_within_a_cluster_are_no_replication() -> None:
    """Three fine-tuning seeds on each of two bases are two observations, not six."""
    low, high = np.tile([0.0, 0.4], (3, 10)), np.tile([0.4, 0.8], (3, 10))
    (rows, answers), (more, others) = cell(low, base=0), cell(high, base=1)
    more, others = (t.with_columns(pl.col("trial") + "-b1") for t in (more, others))
    row = one(joined((rows, answers), (more, others)), over=["base"])
    assert row["seeds"] == 2
    assert row["seed_error"] == pytest.approx(0.2)


def test_cells_stay_apart_and_in_order() -> None:
    tables = joined(cell(np.ones((2, 4)), "b"), cell(np.zeros((2, 4)), "a"))
    assert summary(*tables, by=["cell"]).select("cell", "mean").rows() == [("b", 1.0), ("a", 0.0)]


def test_a_missing_level_is_a_level() -> None:
    rows, answers = joined(cell(np.ones((2, 4)), "a", size=4), cell(np.zeros((2, 4)), "b", size=8))
    rows = rows.with_columns(size=pl.col("size").replace(8, None))
    found = summary(rows, answers, by=["size"])
    assert found.select("size", "mean", "problems").rows() == [(4, 1.0, 4), (None, 0.0, 4)]


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "seed_sd", "item_sd"), [(3, 0.05, 0.15), (8, 0.05, 0.15), (8, 0.0, 0.2)])
def test_the_interval_covers_a_planted_mean(seeds: int, seed_sd: float, item_sd: float) -> None:
    """Over 600 studies of 80 fresh problems each, about 95 % of the intervals hold the true 0.5."""
    rng = np.random.default_rng(0)
    studies = joined(*(cell(matrix(seeds, 80, rng, seed_sd, item_sd), f"{study}-") for study in range(600)))
    cells = summary(*studies, by=["cell"])
    covered = ((cells["low"] <= 0.5) & (cells["high"] >= 0.5)).mean()
    assert 0.93 <= covered <= 0.98


def test_items_agree_with_the_scores_of_the_trials(tmp_path: Any) -> None:
    block = {**SIZE_QUALITY, "axes": {"select.size": [64], "select.quality": ["L4"]}}
    trials = load_trials(Making(tmp_path, blocks=[block, DIFFICULTY], figures=[], seeds=[0, 1]).write())
    means = items(trials).group_by("trial", "score").agg(pl.col("accuracy").mean())
    both = table(trials).join(means, on=["trial", "score"], suffix="_items")
    assert both.height == len(trials) * 3
    assert both["accuracy"].to_list() == pytest.approx(both["accuracy_items"].to_list())
