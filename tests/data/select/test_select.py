"""Which rows a cell trains on: exact, nested, seeded, and refused when there are too few."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.data.select.dedup import duplicates
from limo_ablate.data.select.selection import Selected, select
from limo_ablate.trial.config import DataConfig, DifficultyConfig
from tests.data.select.made_pool import DATA, SELECT, curated, evidence, made_pool

CONFIG = replace(SELECT, size=10)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def pool(store: Store) -> Artifact:
    """90 problems of level 1..9 of two sources, each with solutions of two tiers and a control."""
    problems = [
        {
            "id": f"p{i}", "gold": str(i), "level": i % 9 + 1, "pass_rate": i / 90,
            "source": "few" if i % 10 == 0 else "many",
        }
        for i in range(90)
    ]  # fmt: skip
    solutions = [
        {"problem": f"p{i}", "text": f"{t} " * (i + 1), "tier": t, "teacher": "r1" if t == "L5" else "qwq",
         "score": float(i)}
        for i in range(90)
        for t in ("L1", "L5", "padded")
    ]  # fmt: skip
    return made_pool(store, problems, solutions)


def chosen(store: Store, pool: Artifact, data: DataConfig = DATA, **changes: object) -> Selected:
    return curated(store, pool, replace(CONFIG, **changes), data)  # type: ignore[arg-type]


def problems(store: Store, pool: Artifact, **changes: object) -> list[str]:
    return chosen(store, pool, **changes).rows["problem"].to_list()  # type: ignore[arg-type]


@pytest.mark.parametrize("order", ["random", "score", "-longest", "elaborated", "column"])
def test_smaller_sizes_are_subsets(store: Store, pool: Artifact, order: str) -> None:
    small, large = (problems(store, pool, size=n, order=order) for n in (10, 40))
    assert large[:10] == small
    assert len(set(large)) == 40


def test_another_seed_draws_another_subset(store: Store, pool: Artifact) -> None:
    assert problems(store, pool, seed=1) != problems(store, pool, seed=0)


def test_arms_that_differ_in_tier_have_the_same_problems(store: Store, pool: Artifact) -> None:
    """RQ1's design, at any size."""
    assert problems(store, pool, quality="L1") == problems(store, pool, quality="L5")
    assert chosen(store, pool, quality="L1").rows["tier"].unique().to_list() == ["L1"]


def test_any_quality_is_one_solution_a_problem_and_no_control(store: Store, pool: Artifact) -> None:
    made = chosen(store, pool, quality="any", size=90).rows
    assert made["problem"].n_unique() == 90
    assert set(made["tier"]) <= {"L1", "L5"}


def test_several_solutions_a_problem(store: Store, pool: Artifact) -> None:
    made = chosen(store, pool, quality="any", solutions=2, size=20).rows
    assert made["problem"].n_unique() == 10
    assert made["problem"].to_list()[::2] == made["problem"].to_list()[1::2]


@pytest.mark.parametrize(
    ("difficulty", "measure", "kept"),
    [("hard", "level", 30), ("easy", "level", 30), (9, "level", 10), (0.1, "pass_rate", 10)],
)
def test_difficulty_is_a_band_or_a_threshold(
    store: Store, pool: Artifact, difficulty: str | float, measure: str, kept: int
) -> None:
    data = replace(DATA, difficulty=DifficultyConfig(measure=measure, bands=DATA.difficulty.bands))  # type: ignore[arg-type]
    made = chosen(store, pool, data, difficulty=difficulty, size=None)
    assert made.rows.height == kept
    reason = made.funnel.excluded().filter(pl.col("step") == f"difficulty={difficulty}")["reason"][0]
    assert reason.startswith(f"{measure} ")


def test_a_difficulty_the_pool_does_not_have(store: Store) -> None:
    pool = made_pool(store, [{"id": "a", "gold": "1"}], [{"problem": "a", "text": "s", "tier": "L5"}])
    with pytest.raises(UserError, match=r"no problem of data=made has a level; name its column"):
        curated(store, pool, replace(CONFIG, difficulty="hard"))


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ("longest", "p89"), ("shortest", "p0"), ("pool", "p0"), ("-pool", "p89"), ("column", "p89"),
        ("-column", "p0"), ("-longest", "p0"),
    ],
)  # fmt: skip
def test_orders(store: Store, pool: Artifact, order: str, first: str) -> None:
    assert problems(store, pool, order=order)[0] == first


def test_a_rule_that_the_pool_can_t_serve(store: Store) -> None:
    pool = made_pool(store, [{"id": "a", "gold": "1"}], [{"problem": "a", "text": "s", "tier": "L5"}])
    with pytest.raises(UserError, match=r"rule `column` .* data.fields.score"):
        curated(store, pool, replace(CONFIG, order="column", size=1))


def test_an_unknown_rule_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"select.order=longst: not a rule; did you mean longest\?"):
        replace(CONFIG, order="longst")


def test_a_teacher_is_a_factor(store: Store, pool: Artifact) -> None:
    made = chosen(store, pool, teacher="qwq", quality="any", size=90).rows
    assert set(made["teacher"]) == {"qwq"}
    with pytest.raises(UserError, match=r"select.teacher=qwqq: no such teacher; did you mean qwq\?"):
        chosen(store, pool, teacher="qwqq")


@pytest.mark.parametrize(("shares", "few"), [("proportional", {2}), ("equal", {10})])
def test_strata(store: Store, pool: Artifact, shares: str, few: set[int]) -> None:
    """9 of 90 problems are of the small source: 2 of 20 as in the pool, or as many as there are (9)."""
    stratify = replace(_stratify(), shares=shares)
    made = chosen(store, pool, size=20, stratify=stratify)
    count = made.rows.filter(pl.col("source") == "few").height
    assert count in ({2} if shares == "proportional" else {9})
    smaller = chosen(store, pool, size=8, stratify=stratify).rows
    assert made.rows["problem"].to_list()[:8] == smaller["problem"].to_list()
    if shares == "equal":
        assert smaller.filter(pl.col("source") == "few").height == 4


def _stratify(by: str = "source") -> object:
    from limo_ablate.data.select.config import StratifyConfig

    return StratifyConfig(by=by, shares="proportional")  # type: ignore[arg-type]


def test_iso_difficulty_keeps_the_pool_s_difficulty(store: Store, pool: Artifact) -> None:
    """The longest solutions are not the hardest problems' when fifths of the level keep their shares."""
    made = chosen(store, pool, order="longest", stratify=_stratify("difficulty"), size=45).rows
    bands = made.select((pl.col("level") - 1) // 1.8)["level"].value_counts()["count"]
    assert bands.max() - bands.min() <= 5  # type: ignore[operator]
    assert made["length"].mean() > chosen(store, pool, order="shortest", size=45).rows["length"].mean()  # type: ignore[operator]


def test_too_few_rows_are_refused_with_the_funnel(store: Store, pool: Artifact) -> None:
    message = r"only 30 rows pass \(pool: 270 -> difficulty=hard: 90 -> quality=L5: 30"
    with pytest.raises(UserError, match=message):
        select(store, replace(CONFIG, size=31, difficulty="hard"), DATA, pool, evidence(store, pool))


def test_nothing_left_is_refused_with_the_counts_that_emptied_it(store: Store, pool: Artifact) -> None:
    message = r"nothing is left to train on: pool: 270 -> difficulty=10.0: 0"
    with pytest.raises(UserError, match=message):
        chosen(store, pool, difficulty=10.0)


def test_every_row_of_the_pool_is_accounted_for_once(store: Store, pool: Artifact) -> None:
    made = chosen(store, pool, difficulty="hard")
    every = pl.concat(
        [made.rows.select("problem", "solution"), made.funnel.excluded().select("problem", "solution")]
    )
    assert every.height == every.n_unique() == 270
    assert made.funnel.excluded()["reason"].null_count() == 0
    assert [step.rows for step in made.funnel.steps] == [270, 90, 30, 10]


def test_the_same_selection_twice_is_bit_identical(store: Store, pool: Artifact, tmp_path: Path) -> None:
    made = [select(Store(tmp_path / name), CONFIG, DATA, pool, evidence(store, pool)) for name in ("a", "b")]
    assert made[0].digest == made[1].digest
    files = [(artifact.path / "rows.parquet").read_bytes() for artifact in made]
    assert files[0] == files[1]


def test_questions_without_solutions_can_be_chosen(store: Store) -> None:
    pool = made_pool(store, [{"id": f"p{i}", "gold": "1", "level": i} for i in range(9)], [])
    made = curated(store, pool, replace(CONFIG, size=2, quality="any", difficulty="hard")).rows
    assert made["response"].null_count() == 2
    assert made["level"].min() >= 7  # type: ignore[operator]
    with pytest.raises(UserError, match="quality=L5"):
        curated(store, pool, CONFIG)


def test_questions_of_a_pool_that_has_solutions(store: Store, pool: Artifact) -> None:
    made = chosen(store, pool, solutions=0, quality="any", difficulty="hard", size=20)
    assert made.rows["response"].null_count() == made.rows["problem"].n_unique() == 20
    assert [step.rows for step in made.funnel.steps] == [90, 30, 20]


def test_one_of_two_equal_problems_stays_whichever_is_left(store: Store) -> None:
    """The first has no right solution, so the second is no duplicate; nor is one with another answer."""
    question = "What is one plus one?"
    pool = made_pool(
        store,
        [
            {"id": "a", "gold": "2", "text": question}, {"id": "b", "gold": "2", "text": question.upper()},
            {"id": "c", "gold": "2", "text": question + "!"}, {"id": "d", "gold": "3", "text": question},
        ],
        [{"problem": p, "text": rf"\boxed{{{n}}}"} for p, n in (("a", 1), ("b", 2), ("c", 2), ("d", 3))],
    )  # fmt: skip
    config = replace(CONFIG, size=None, quality="any", duplicates="drop", correctness="correct")
    made = curated(store, pool, config, graded=True, duplicates=duplicates(store, "separate", pool))
    assert sorted(made.rows["problem"]) == ["b", "d"]
    reasons = dict(made.funnel.excluded().select("problem", "reason").iter_rows())
    assert reasons["c"] == "same words and answer as problem b"


def test_tiers_that_some_rows_carry_are_kept(store: Store) -> None:
    problems = [{"id": f"p{n}", "gold": "1"} for n in range(6)]
    solutions = [{"problem": f"p{n}", "text": "s", "tier": "L5" if n % 2 else None} for n in range(6)]
    made = curated(store, made_pool(store, problems, solutions), replace(CONFIG, size=None))
    assert sorted(made.rows["problem"]) == ["p1", "p3", "p5"]
    assert set(made.funnel.excluded()["reason"]) == {"tier unknown"}


@pytest.mark.parametrize(
    "changes", [{"perturb": "format_only"}, {"tokens": 9}, {"same_problems": True}, {"correctness": "wrong"}]
)
def test_what_goes_by_solutions_is_refused_for_questions(store: Store, changes: dict[str, object]) -> None:
    pool = made_pool(store, [{"id": "a", "gold": "1"}], [])
    with pytest.raises(UserError, match="goes by solutions, and these are questions only"):
        curated(store, pool, replace(CONFIG, quality="any", **changes), graded=True)  # type: ignore[arg-type]
