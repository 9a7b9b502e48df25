"""Scores against hand-computed values, and against counting every subset."""

import math
from itertools import combinations, permutations, product
from statistics import mean, stdev

import polars as pl
import pytest

from limo_ablate.trial.evaluate.metrics import Results, benchmark_scores, scores
from limo_ablate.trial.evaluate.passes import decoding_sd, majority, pass_at, passes
from tests.trial.evaluate.tables import verdicts, voted


def test_avg_at_n_clusters_by_problem() -> None:
    """Two problems at 1.0 and 0.25: mean 0.625; SE = sd/sqrt(2) = 0.53033/1.41421 = 0.375."""
    table = verdicts({"a": "cccc", "b": "ciui"})
    made = scores(Results(verdicts=table))
    assert made["accuracy"] == pytest.approx(0.625)
    assert made["stderr"] == pytest.approx(0.375)
    assert (made["problems"], made["samples"]) == (2, 4)
    assert made["undecided"] == pytest.approx(1 / 8)
    assert made["lenient"] == 1


def test_pass_at_k_and_its_error_by_hand() -> None:
    """a: 1 of 4 right, b: none. pass@2 = 1 - C(3,2)/C(4,2) = 1/2 and 0; pass@4 = 1 and 0. SE = |a-b|/2."""
    made = passes(verdicts({"a": "ciii", "b": "iiui"}))
    assert (made["pass@2"], made["pass@2_stderr"]) == (pytest.approx(0.25), pytest.approx(0.25))
    assert (made["pass@4"], made["pass@4_stderr"]) == (pytest.approx(0.5), pytest.approx(0.5))
    assert [key for key in made if key.startswith(("pass", "maj"))] == [
        "pass@2", "pass@2_stderr", "pass@4", "pass@4_stderr", "maj@4", "maj@4_stderr",
    ]  # fmt: skip


def test_pass_at_k_stops_at_the_last_power_of_two() -> None:
    made = passes(verdicts({"a": "c" + "i" * 9}))
    assert "pass@8" in made
    assert "pass@16" not in made
    assert "maj@10" in made


def test_one_sample_has_avg_only() -> None:
    assert list(passes(verdicts({"a": "c", "b": "i"}))) == ["accuracy", "stderr"]


@pytest.mark.parametrize("samples", [1, 2, 5, 6])
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(samples: int) -> None:
    for right, k in product(range(samples + 1), range(1, samples + 1)):
        drawn = list(combinations([1] * right + [0] * (samples - right), k))
        assert pass_at(k, samples, right) == pytest.approx(mean(max(subset) for subset in drawn))


def test_a_majority_is_of_equal_answers_and_ties_are_split() -> None:
    assert majority(voted("1/2", "0.5", r"\frac12", "3", "4")) == 1  # the two right ones differ as texts
    assert majority(voted("1/2", "0.5", "3", r"\frac62", "4")) == 0  # and so do the wrong ones
    assert majority(voted("1/2", "0.5", r"\frac12", "3", "3.0")) == 0.5
    assert majority(voted("1/2", "0.5", "3", "4")) == pytest.approx(1 / 3)
    assert majority(voted("1/2", "0.5", "", "", "")) == 1  # who says nothing does not vote
    assert majority(voted("1/2", "", "")) == 0


def test_classes_do_not_depend_on_how_often_an_answer_comes() -> None:
    assert voted("1", "2", "2/1", "x+x", "2x", "", "1") == [1, 1, 2, 2, None, 0]


def test_a_majority_is_what_drawing_one_of_the_most_frequent_gives() -> None:
    for order in permutations([0, 0, 1, 1, 2, None]):
        assert majority(list(order)) == 0.5


def test_decoding_noise_by_hand() -> None:
    """a: 1 of 2 right, variance 1/2; b: always right. sqrt(1/2 + 0) / 2."""
    assert decoding_sd([1 / 2, 0]) == pytest.approx(math.sqrt(0.5) / 2)


def test_decoding_noise_is_that_of_drawing_each_problem_s_sample_anew() -> None:
    """All ways to draw one sample a problem: their accuracies' variance, times n / (n - 1)."""
    given = {"a": "ccii", "b": "ciii", "c": "cccc"}
    passes_ = [mean(letter == "c" for letter in drawn) for drawn in product(*given.values())]
    biased = sum((p - mean(passes_)) ** 2 for p in passes_) / len(passes_)
    made = passes(verdicts(given))["decoding_sd"]
    assert made == pytest.approx(math.sqrt(biased * 4 / 3))


def test_one_problem_has_no_standard_error() -> None:
    assert math.isnan(scores(Results(verdicts=verdicts({"a": "c"})))["stderr"])


def test_errors_of_means_over_problems_are_clustered() -> None:
    """Twice the samples that say the same are no more evidence."""
    once, twice = (
        passes(verdicts({"a": "ci", "b": "cc", "c": "ii"})),
        passes(verdicts({"a": "cici", "b": "cccc", "c": "iiii"})),
    )
    assert once["stderr"] == twice["stderr"] == pytest.approx(stdev([0.5, 1, 0]) / math.sqrt(3))


def test_a_second_greedy_pass_is_a_second_sample() -> None:
    first, second = verdicts({"a": "c", "b": "c", "c": "i"}), verdicts({"c": "i", "b": "i", "a": "c"})
    made = scores(Results(verdicts=first, again=second))
    assert made["accuracy"] == pytest.approx(2 / 3)
    assert made["flips"] == pytest.approx(1 / 3)
    assert made["decoding_sd"] == pytest.approx(math.sqrt(0.5) / 3)


def test_groups_are_ranges_of_the_level() -> None:
    table = pl.concat([verdicts({"a": "c"}, level=1), verdicts({"b": "i"}, level=8)])
    made = benchmark_scores(
        "mini", Results(verdicts=table), {"easy": (1, 3), "hard": (7, 9), "empty": (4, 6)}
    )
    assert {name: s["accuracy"] for name, s in made.items()} == {
        "mini": 0.5,
        "mini/easy": 1.0,
        "mini/hard": 0.0,
    }


def test_every_table_is_cut_to_the_group() -> None:
    table = pl.concat([verdicts({"a": "c"}, level=1), verdicts({"b": "i"}, level=8)])
    probed = pl.DataFrame({"problem": ["a", "b"], "exact": [True, False], "rouge": [1.0, 0.5]})
    made = benchmark_scores("m", Results(verdicts=table, again=table, probed=probed), {"easy": (1, 3)}, {"a"})
    assert {name: score["probe_exact"] for name, score in made.items()} == {
        "m": 0.5,
        "m/easy": 1,
        "m/clean": 0,
    }
    assert {name: score["flips"] for name, score in made.items()} == {"m": 0, "m/easy": 0, "m/clean": 0}
