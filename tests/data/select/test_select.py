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
from tests.data.select.sample_pool import DATA, SELECT, choose, evidence, sample_pool

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
    return sample_pool(store, problems, solutions)


def chosen(store: Store, pool: Artifact, data: DataConfig = DATA, **changes: object) -> Selected:
    return choose(store, pool, replace(CONFIG, **changes), data)  # type: ignore[arg-type]


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
    selected = chosen(store, pool, quality="any", size=90).rows
    assert selected["problem"].n_unique() == 90
    assert set(selected["tier"]) <= {"L1", "L5"}


def test_several_solutions_a_problem(store: Store, pool: Artifact) -> None:
    selected = chosen(store, pool, quality="any", solutions=2, size=20).rows
    assert selected["problem"].n_unique() == 10
    assert selected["problem"].to_list()[::2] == selected["problem"].to_list()[1::2]


@pytest.mark.parametrize(
    ("difficulty", "measure", "kept"),
    [("hard", "level", 30), ("easy", "level", 30), (9, "level", 10), (0.1, "pass_rate", 10)],
)
def test_difficulty_is_a_band_or_a_threshold(
    store: Store, pool: Artifact, difficulty: str | float, measure: str, kept: int
) -> None:
    data = replace(DATA, difficulty=DifficultyConfig(measure=measure, bands=DATA.difficulty.bands))  # type: ignore[arg-type]
    selected = chosen(store, pool, data, difficulty=difficulty, size=None)
    assert selected.rows.height == kept
    reason = selected.funnel.excluded().filter(pl.col("step") == f"difficulty={difficulty}")["reason"][0]
    assert reason.startswith(f"{measure} ")


def test_a_difficulty_the_pool_does_not_have(store: Store) -> None:
    pool = sample_pool(store, [{"id": "a", "gold": "1"}], [{"problem": "a", "text": "s", "tier": "L5"}])
    with pytest.raises(UserError, match=r"no problem of data=made has a level; name its column"):
        choose(store, pool, replace(CONFIG, difficulty="hard"))


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
    pool = sample_pool(store, [{"id": "a", "gold": "1"}], [{"problem": "a", "text": "s", "tier": "L5"}])
    with pytest.raises(UserError, match=r"rule `column` .* data.fields.score"):
        choose(store, pool, replace(CONFIG, order="column", size=1))


def test_an_unknown_rule_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"select.order=longst: not a rule; did you mean longest\?"):
        replace(CONFIG, order="longst")


def test_a_teacher_is_a_factor(store: Store, pool: Artifact) -> None:
    selected = chosen(store, pool, teacher="qwq", quality="any", size=90).rows
    assert set(selected["teacher"]) == {"qwq"}
    with pytest.raises(UserError, match=r"select.teacher=qwqq: no such teacher; did you mean qwq\?"):
        chosen(store, pool, teacher="qwqq")


@pytest.mark.parametrize(("shares", "few"), [("proportional", {2}), ("equal", {10})])
def test_strata(store: Store, pool: Artifact, shares: str, few: set[int]) -> None:
    """9 of 90 problems are of the small source: 2 of 20 as in the pool, or as many as there are (9)."""
    stratify = replace(_stratify(), shares=shares)
    selected = chosen(store, pool, size=20, stratify=stratify)
    count = selected.rows.filter(pl.col("source") == "few").height
    assert count in ({2} if shares == "proportional" else {9})
    smaller = chosen(store, pool, size=8, stratify=stratify).rows
    assert selected.rows["problem"].to_list()[:8] == smaller["problem"].to_list()
    if shares == "equal":
        assert smaller.filter(pl.col("source") == "few").height == 4


def _stratify(by: str = "source") -> object:
    from limo_ablate.data.select.config import StratifyConfig

    return StratifyConfig(by=by, shares="proportional")  # type: ignore[arg-type]


def test_iso_difficulty_keeps_the_pool_s_difficulty(store: Store, pool: Artifact) -> None:
    """The longest solutions are not the hardest problems' when fifths of the level keep their shares."""
    selected = chosen(store, pool, order="longest", stratify=_stratify("difficulty"), size=45).rows
    bands = selected.select((pl.col("level") - 1) // 1.8)["level"].value_counts()["count"]
    assert bands.max() - bands.min() <= 5  # type: ignore[operator]
    assert selected["length"].mean() > chosen(store, pool, order="shortest", size=45).rows["length"].mean()  # type: ignore[operator]


def test_too_few_rows_are_refused_with_the_funnel(store: Store, pool: Artifact) -> None:
    message = (
        r"only 30 rows pass \(pool: 270 -> difficulty=hard: 90 -> quality=L5: 30\)\. "
        r"To keep more: select\.difficulty=any select\.quality=any;"
    )
    with pytest.raises(UserError, match=message):
        select(store, replace(CONFIG, size=31, difficulty="hard"), DATA, pool, evidence(store, pool))


def test_nothing_left_is_refused_with_the_counts_that_emptied_it(store: Store, pool: Artifact) -> None:
    message = r"nothing is left to train on: pool: 270 -> difficulty=10.0: 0"
    with pytest.raises(UserError, match=message):
        chosen(store, pool, difficulty=10.0)


def test_every_row_of_the_pool_is_accounted_for_once(store: Store, pool: Artifact) -> None:
    selected = chosen(store, pool, difficulty="hard")
    every = pl.concat(
        [
            selected.rows.select("problem", "solution"),
            selected.funnel.excluded().select("problem", "solution"),
        ]
    )
    assert every.height == every.n_unique() == 270
    assert selected.funnel.excluded()["reason"].null_count() == 0
    assert [step.rows for step in selected.funnel.steps] == [270, 90, 30, 10]


def test_the_same_selection_twice_is_bit_identical(store: Store, pool: Artifact, tmp_path: Path) -> None:
    selected = [
        select(Store(tmp_path / name), CONFIG, DATA, pool, evidence(store, pool)) for name in ("a", "b")
    ]
    assert selected[0].digest == selected[1].digest
    files = [(artifact.path / "rows.parquet").read_bytes() for artifact in selected]
    assert files[0] == files[1]


def test_questions_without_solutions_can_be_chosen(store: Store) -> None:
    pool = sample_pool(store, [{"id": f"p{i}", "gold": "1", "level": i} for i in range(9)], [])
    selected = choose(store, pool, replace(CONFIG, size=2, quality="any", difficulty="hard")).rows
    assert selected["response"].null_count() == 2
    assert selected["level"].min() >= 7  # type: ignore[operator]
    with pytest.raises(UserError, match="quality=L5"):
        choose(store, pool, CONFIG)


def test_questions_of_a_pool_that_has_solutions(store: Store, pool: Artifact) -> None:
    selected = chosen(store, pool, solutions=0, quality="any", difficulty="hard", size=20)
    assert selected.rows["response"].null_count() == selected.rows["problem"].n_unique() == 20
    assert [step.rows for step in selected.funnel.steps] == [90, 30, 20]


def test_the_first_remaining_duplicate_is_kept(store: Store) -> None:
    """The first has no right solution, so the second is no duplicate; nor is one with another answer."""
    question = "What is one plus one?"
    pool = sample_pool(
        store,
        [
            {"id": "a", "gold": "2", "text": question}, {"id": "b", "gold": "2", "text": question.upper()},
            {"id": "c", "gold": "2", "text": question + "!"}, {"id": "d", "gold": "3", "text": question},
        ],
        [{"problem": p, "text": rf"\boxed{{{n}}}"} for p, n in (("a", 1), ("b", 2), ("c", 2), ("d", 3))],
    )  # fmt: skip
    config = replace(CONFIG, size=None, quality="any", duplicates="drop", correctness="correct")
    selected = choose(store, pool, config, graded=True, duplicates=duplicates(store, "separate", pool))
    assert sorted(selected.rows["problem"]) == ["b", "d"]
    reasons = dict(selected.funnel.excluded().select("problem", "reason").iter_rows())
    assert reasons["c"] == "same words and answer as problem b"


def test_tiers_of_the_data_are_kept(store: Store) -> None:
    problems = [{"id": f"p{n}", "gold": "1"} for n in range(6)]
    solutions = [{"problem": f"p{n}", "text": "s", "tier": "L5" if n % 2 else None} for n in range(6)]
    selected = choose(store, sample_pool(store, problems, solutions), replace(CONFIG, size=None))
    assert sorted(selected.rows["problem"]) == ["p1", "p3", "p5"]
    assert set(selected.funnel.excluded()["reason"]) == {"tier unknown"}


@pytest.mark.parametrize(
    "changes", [{"perturb": "format_only"}, {"tokens": 9}, {"same_problems": True}, {"correctness": "wrong"}]
)
def test_keys_that_select_by_solutions_are_refused_for_questions(
    store: Store, changes: dict[str, object]
) -> None:
    pool = sample_pool(store, [{"id": "a", "gold": "1"}], [])
    with pytest.raises(UserError, match="selects by solutions, but the pool has only questions"):
        choose(store, pool, replace(CONFIG, quality="any", **changes), graded=True)  # type: ignore[arg-type]
