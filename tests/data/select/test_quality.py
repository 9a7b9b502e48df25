"""The chain score, its tiers within a pool and within a problem, and what is right by the verifier."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.data.select.config import ScoreConfig
from limo_ablate.data.select.features import features, hits, length
from limo_ablate.data.select.quality import assign_tiers, warn_of_ties, with_scores
from limo_ablate.trial.config import DifficultyConfig
from tests.data.select.sample_pool import DATA, SCORE, SELECT, choose, sample_pool

PLAIN = "x = 1. " * 40
CAREFUL = "Perhaps x = 1. Let us check and verify that, since it might fail; therefore x = 1. " * 10


def rows_of(texts: list[str], problem: str | None = None) -> pl.DataFrame:
    frame = pl.DataFrame({"text": texts, "problem": [problem or str(i) for i in range(len(texts))]})
    text = pl.col("text")
    pieces = length(text)
    counts = {name: 100 * hits(text, lexicon) / pieces for name, lexicon in SCORE.phrases().items()}
    return frame.with_columns(length=pieces, **counts)


@pytest.mark.parametrize("scaling", ["rank", "zscore", "minmax"])
def test_score_rewards_the_paper_s_four_features(scaling: str) -> None:
    rows = rows_of([PLAIN[:70], PLAIN, CAREFUL, "x = 1", CAREFUL * 3])
    score = replace(SCORE, scaling=scaling)  # type: ignore[arg-type]
    selected = with_scores(rows, score)
    assert selected["score"].arg_max() == 4
    named = assign_tiers(selected, score)
    assert named[4] == "L5"
    assert sorted(named) == ["L1", "L2", "L3", "L4", "L5"]


def test_counts_are_normalised_by_length() -> None:
    once, thrice = (rows_of([CAREFUL * n])["exploratory"][0] for n in (1, 3))
    assert once == pytest.approx(thrice)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Check it, and check again.", 2),
        ("The checkerboard is checkered.", 0),
        ("We double-check.", 1),
        ("Make\nsure of it", 1),
        ("我们来验证一下，再检查。", 2),
        ("verify 验证", 2),
        ("naïve", 0),
    ],
)
def test_words_are_whole_words_in_any_case_and_chinese_anywhere(text: str, found: int) -> None:
    table = pl.DataFrame({"text": [text]})
    assert table.select(hits(pl.col("text"), SCORE.phrases()["self_verification"])).item() == found


def test_length_counts_words_numbers_symbols_and_chinese_characters() -> None:
    assert pl.DataFrame({"t": [r"因此 x1 = \frac{10}{2}"]}).select(length(pl.col("t"))).item() == 13


def test_residual_does_not_follow_length() -> None:
    """Score grows with length by construction here; the residual is uncorrelated with log(length)."""
    rows = rows_of([(PLAIN if i % 2 else CAREFUL) * (i + 1) for i in range(30)])
    selected = with_scores(rows, SCORE)
    logs = selected["length"].cast(pl.Float64).log()
    assert abs(pl.DataFrame({"a": selected["residual"], "b": logs}).select(pl.corr("a", "b")).item()) < 1e-9
    assert pl.DataFrame({"a": selected["score"], "b": logs}).select(pl.corr("a", "b")).item() > 0.3


def test_tiers_within_a_problem_have_one_solution_each() -> None:
    texts = [PLAIN * (i + 1) for i in range(5)]
    parts = [rows_of(texts, "a"), rows_of([CAREFUL * (5 + i) for i in range(5)], "b")]
    selected = with_scores(pl.concat(parts), SCORE)
    within = selected.with_columns(assign_tiers(selected, replace(SCORE, within="problem")))
    for part in ("a", "b"):
        assert set(within.filter(pl.col("problem") == part)["tier"]) == {"L1", "L2", "L3", "L4", "L5"}
    pooled = selected.with_columns(assign_tiers(selected, SCORE))
    assert set(pooled.filter(pl.col("problem") == "b")["tier"]) == {"L3", "L4", "L5"}


def test_weights_and_lexicons_must_name_the_same_features() -> None:
    with pytest.raises(UserError, match=r"select.score: humour must be in both"):
        replace(SCORE, weights={**SCORE.weights, "humour": 1.0})
    with pytest.raises(UserError, match="four rising shares"):
        replace(SCORE, edges=(0.5, 0.4, 0.6, 0.8))


def test_features_are_made_once_for_all_weights(tmp_path: Path) -> None:
    store = Store(tmp_path)
    pool = sample_pool(store, [{"id": "a", "gold": "1"}], [{"problem": "a", "text": CAREFUL}])
    one = features(store, SCORE.phrases(), pool)
    assert features(store, dict(reversed(SCORE.phrases().items())), pool).key == one.key
    assert pl.read_parquet(one.path / "features.parquet").columns == ["solution", "length", *SCORE.lexicons]


def gradable(store: Store) -> object:
    """Three problems with three solutions each, of which one, two and three are right."""
    problems = [{"id": f"p{n}", "gold": str(n)} for n in (1, 2, 3)]
    solutions = [
        {"problem": f"p{n}", "text": f"so \\boxed{{{n if k < n else n + 10}}}", "correct": k >= n}
        for n in (1, 2, 3)
        for k in range(3)
    ]
    return sample_pool(store, problems, solutions)


@pytest.mark.parametrize(("correctness", "kept"), [("any", 9), ("correct", 6), ("wrong", 3)])
def test_correctness_is_decided_by_the_verifier(tmp_path: Path, correctness: str, kept: int) -> None:
    """Not by what the data claims, which is all wrong here."""
    store = Store(tmp_path)
    config = replace(SELECT, size=None, quality="any", solutions=9, correctness=correctness)  # type: ignore[arg-type]
    selected = choose(store, gradable(store), config, graded=True)  # type: ignore[arg-type]
    assert selected.rows.height == kept


def test_the_pool_s_own_solutions_give_pass_rates(tmp_path: Path) -> None:
    store = Store(tmp_path)
    data = replace(DATA, difficulty=DifficultyConfig(measure="solutions", bands={"hard": (0, 0.5)}))
    config = replace(SELECT, size=None, quality="any", difficulty="hard")
    selected = choose(store, gradable(store), config, data, graded=True)  # type: ignore[arg-type]
    assert selected.rows["problem"].to_list() == ["p1"]
    assert selected.rows["pass_rate"].to_list() == pytest.approx([1 / 3])


def test_the_same_questions_in_every_tier(tmp_path: Path) -> None:
    """RQ1: a problem with four right solutions is in no arm, one with five or more in every arm."""
    store = Store(tmp_path)
    problems = [{"id": f"p{n}", "gold": "1"} for n in range(6)]
    solutions = [
        {"problem": f"p{n}", "text": f"{CAREFUL[: 40 * (k + 1)]} \\boxed{{1}}"}
        for n in range(6)
        for k in range(4 if n == 0 else 5 + n)
    ]
    pool = sample_pool(store, problems, solutions)
    score = replace(SCORE, within="problem")
    arms = [
        choose(
            store, pool,
            replace(SELECT, size=5, quality=tier, same_problems=True, correctness="correct", score=score),  # type: ignore[arg-type]
            graded=True,
        ).rows
        for tier in ("L1", "L2", "L3", "L4", "L5")
    ]  # fmt: skip
    assert all(arm["problem"].to_list() == arms[0]["problem"].to_list() for arm in arms)
    assert "p0" not in arms[0]["problem"].to_list()
    scores = [arm.sort("problem")["score"] for arm in arms]
    assert all((lower < higher).all() for lower, higher in pairwise(scores))


def test_the_shipped_score_is_the_paper_s_in_weights() -> None:
    assert isinstance(SCORE, ScoreConfig)
    assert sum(SCORE.weights.values()) == pytest.approx(1)
    assert SCORE.weights["elaborated"] == 0.30


@pytest.mark.parametrize(
    ("texts", "warned"), [([PLAIN] * 10, True), ([PLAIN[:n] for n in range(7, 77, 7)], False)]
)
def test_tiers_of_solutions_that_score_alike_are_warned_of(
    texts: list[str], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    rows = with_scores(rows_of(texts), SCORE)
    warn_of_ties(rows.with_columns(assign_tiers(rows, SCORE)), SCORE)
    assert ("tiers are arbitrary for 10 of 10 rows" in caplog.text) == warned
