"""Which rows a cell trains on: exact, nested, seeded, and refused when there are too few."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.artifacts import Artifact, Store
from limo_ablate.config import DataConfig, DifficultyConfig, SelectConfig
from limo_ablate.errors import UserError
from limo_ablate.pool.schema import PROBLEMS, SOLUTIONS
from limo_ablate.select import quality, select

DATA = DataConfig(
    name="test",
    source="file",
    difficulty=DifficultyConfig(column="level", bands={"hard": (7, 9), "easy": (1, 3)}),
)
CONFIG = SelectConfig(size=10, difficulty="any", quality="L5", order="random", seed=0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def pool(store: Store) -> Artifact:
    """90 problems of level 1..9, each with a solution of tier L1 and one of L5."""

    def make(folder: Path) -> None:
        facts = {"source": "t", "subject": None}
        problems = [
            {"id": f"p{i}", "text": f"q{i}", "gold": str(i), "level": i % 9 + 1, "pass_rate": i / 90, **facts}
            for i in range(90)
        ]
        solutions = [
            {"id": f"p{i}-{t}", "problem": f"p{i}", "text": f"{t} " * (i + 1), "tier": t, "teacher": None}
            for i in range(90)
            for t in ("L1", "L5", "padded")
        ]
        pl.DataFrame(problems, schema=PROBLEMS).write_parquet(folder / "problems.parquet")
        pl.DataFrame(solutions, schema=SOLUTIONS).write_parquet(folder / "solutions.parquet")

    return store.build("pool", 1, {}, make)


def rows(store: Store, pool: Artifact, data: DataConfig = DATA, **changes: object) -> pl.DataFrame:
    made = select(store, replace(CONFIG, **changes), data, pool)  # type: ignore[arg-type]
    return pl.read_parquet(made.path / "rows.parquet")


def test_smaller_sizes_are_subsets_and_seeds_redraw(store: Store, pool: Artifact) -> None:
    small, large = (rows(store, pool, size=n)["problem"].to_list() for n in (10, 40))
    assert large[:10] == small
    assert rows(store, pool, seed=1)["problem"].to_list() != small
    assert len(set(large)) == 40


def test_tiers_share_their_problems(store: Store, pool: Artifact) -> None:
    """RQ1's design: the same questions in every arm."""
    chosen = {tier: set(rows(store, pool, quality=tier, size=90)["problem"]) for tier in ("L1", "L5")}
    assert chosen["L1"] == chosen["L5"]
    assert rows(store, pool, quality="L1")["tier"].unique().to_list() == ["L1"]


def test_any_quality_is_one_solution_a_problem_and_no_control(store: Store, pool: Artifact) -> None:
    made = rows(store, pool, quality="any", size=90)
    assert made["problem"].n_unique() == 90
    assert set(made["tier"]) == {"L1", "L5"}


@pytest.mark.parametrize(
    ("difficulty", "column", "kept"),
    [("hard", "level", 30), ("easy", "level", 30), (9, "level", 10), (0.1, "pass_rate", 10)],
)
def test_difficulty_is_a_band_or_a_threshold(
    store: Store, pool: Artifact, difficulty: str | float, column: str, kept: int
) -> None:
    data = replace(DATA, difficulty=DifficultyConfig(column=column, bands=DATA.difficulty.bands))  # type: ignore[arg-type]
    assert rows(store, pool, data, difficulty=difficulty, size=None).height == kept


@pytest.mark.parametrize(("order", "first"), [("longest", "p89"), ("shortest", "p0"), ("pool", "p0")])
def test_orders(store: Store, pool: Artifact, order: str, first: str) -> None:
    assert rows(store, pool, order=order)["problem"][0] == first


def test_too_few_rows_are_refused_with_the_funnel(store: Store, pool: Artifact) -> None:
    with pytest.raises(
        UserError, match=r"only 30 rows pass \(problems: 90 .* difficulty=hard: 90 .* quality=L5: 30"
    ):
        select(store, replace(CONFIG, size=31, difficulty="hard"), DATA, pool)


def test_score_rewards_the_paper_s_four_features() -> None:
    plain = "x = 1. " * 40
    careful = "Perhaps x = 1. Let us check and verify that, since it might fail; therefore x = 1. " * 10
    texts = pl.DataFrame({"text": [plain[:70], plain, careful, "x = 1", careful * 3]})
    scores = quality.chain_scores(texts)
    assert scores.arg_max() == 4
    assert quality.tiers_by_score(scores).to_list()[4] == "L5"
    assert sorted(quality.tiers_by_score(scores)) == ["L1", "L2", "L3", "L4", "L5"]


def test_chinese_words_count() -> None:
    table = pl.DataFrame({"text": ["因此 x = 1", "x = 1"]})
    counts = table.select(quality.chain_features(pl.col("text"))["granularity"]).to_series()
    assert counts[0] > counts[1] == 0
