"""Scores against hand-computed values."""

import math

import polars as pl
import pytest

from limo_ablate.evaluate.scores import benchmark_scores, scores


def verdicts(statuses: dict[str, list[str]], level: float = 1) -> pl.DataFrame:
    rows = [
        {
            "problem": problem, "sample": i, "level": level, "status": status, "boxed": status == "correct",
            "lenient": True, "rule": "no_answer" if status == "incorrect" else "text",
            "finish": "stop", "tokens": 4,
        }
        for problem, given in statuses.items()
        for i, status in enumerate(given)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def test_avg_at_n_clusters_by_problem() -> None:
    """Two problems at 1.0 and 0.25: mean 0.625; SE = sd/sqrt(2) = 0.53033/1.41421 = 0.375."""
    table = verdicts({"a": ["correct"] * 4, "b": ["correct", "incorrect", "undecided", "incorrect"]})
    made = scores(table)
    assert made["accuracy"] == pytest.approx(0.625)
    assert made["stderr"] == pytest.approx(0.375)
    assert (made["problems"], made["samples"]) == (2, 4)
    assert made["undecided"] == pytest.approx(1 / 8)
    assert made["no_answer"] == pytest.approx(2 / 8)
    assert made["lenient"] == 1


def test_one_problem_has_no_standard_error() -> None:
    assert math.isnan(scores(verdicts({"a": ["correct"]}))["stderr"])


def test_groups_are_ranges_of_the_level() -> None:
    table = pl.concat([verdicts({"a": ["correct"]}, level=1), verdicts({"b": ["incorrect"]}, level=8)])
    made = benchmark_scores("mini", table, {"easy": (1, 3), "hard": (7, 9), "empty": (4, 6)})
    assert {name: s["accuracy"] for name, s in made.items()} == {
        "mini": 0.5,
        "mini/easy": 1.0,
        "mini/hard": 0.0,
    }
