"""Difficulty measured for real: tiny reference models, fine-tuned, sampled, graded; stage after stage."""

from dataclasses import replace

import polars as pl
import pytest

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.load import load_pool
from limo_ablate.trial.checks import check_alone
from limo_ablate.trial.compose import compose
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.reference import pass_rates
from limo_ablate.trial.rows import gather_evidence
from limo_ablate.trial.run import trained_model
from limo_ablate.trial.stages import Stages

TINY = [
    "data/difficulty=mini_reference", "data.miniature.per_level=4", "data.miniature.levels=[1,2]",
    "track=none",
    *(
        f"data.difficulty.reference.stages.{stage}.{key}"
        for stage in ("coarse", "fine")
        for key in (
            "model.pretrain.tokens=20000", "tune.data.miniature.per_level=10",
            "tune.data.miniature.levels=[1,2]",
            "tune.train.steps=30", "max_tokens=40",
        )
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrialConfig:
    return compose([*TINY, f"paths.artifacts={tmp_path_factory.mktemp('store')}"])


def rates(config: TrialConfig) -> tuple[pl.DataFrame, Stages]:
    stages = Stages()
    pool = load_pool(Store(config.paths.artifacts), config.data)
    made = stages.run("rates", pass_rates, config, pool, stages, trained_model)
    return pl.read_parquet(made.path / "rates.parquet"), stages


def test_every_problem_has_a_pass_rate_or_a_note(config: TrialConfig) -> None:
    table, stages = rates(config)
    assert table.height == 8
    assert (table["pass_rate"].is_null() == table["note"].is_not_null()).all()
    fine = table.filter(pl.col("stage") == "fine")
    assert fine["samples"].to_list() == [8] * fine.height
    known = fine.drop_nulls("pass_rate")
    shares = known["correct"] / (known["samples"] - known["undecided"])
    assert known["pass_rate"].to_list() == shares.to_list()
    verdicts = pl.read_parquet(stages.artifacts["verdicts/fine"].path / "verdicts.parquet")
    right = verdicts.filter(pl.col("status") == "correct")["problem"].value_counts()
    assert dict(right.iter_rows()) == dict(
        fine.filter(pl.col("correct") > 0).select("problem", "correct").iter_rows()
    )


def test_a_stage_lets_through_what_it_says(config: TrialConfig) -> None:
    """With pass_to_next [0, 0] only what the first model never solves is tried again."""
    strict = _passing_on(config, (0, 0))
    table, stages = rates(strict)
    coarse = pl.read_parquet(stages.artifacts["tried/coarse"].path / "tried.parquet")
    never = coarse.filter((pl.col("correct") == 0) & (pl.col("undecided") == 0))["problem"].to_list()
    assert sorted(table.filter(pl.col("stage") == "fine")["problem"]) == sorted(never)
    with pytest.raises(UserError, match=r"reference stage coarse: none of 8 problems has 4 to 4 correct"):
        rates(_passing_on(config, (4, 4)))


def _passing_on(config: TrialConfig, counts: tuple[int, int]) -> TrialConfig:
    reference = config.data.difficulty.reference
    assert reference is not None
    stages = {**reference.stages, "coarse": replace(reference.stages["coarse"], pass_to_next=counts)}
    difficulty = replace(config.data.difficulty, reference=replace(reference, stages=stages))
    return replace(config, data=replace(config.data, difficulty=difficulty))


def test_nothing_is_measured_that_no_cell_asks_for(config: TrialConfig) -> None:
    stages = Stages()
    pool = load_pool(Store(config.paths.artifacts), config.data)
    assert gather_evidence(config, stages, pool, None, trained_model).rates is None
    assert set(stages.artifacts) == {"features"}


def test_a_measured_band_selects(config: TrialConfig) -> None:
    asked = replace(config, select=replace(config.select, difficulty=1.0, quality="L4", size=None))
    stages = Stages()
    pool = load_pool(Store(config.paths.artifacts), config.data)
    from limo_ablate.data.select.selection import choose_rows

    rows = choose_rows(
        asked.select, asked.data, pool, gather_evidence(asked, stages, pool, None, trained_model)
    ).rows
    table, _ = rates(config)
    measured = dict(table.drop_nulls("pass_rate").select("problem", "pass_rate").iter_rows())
    assert dict(rows.select("problem", "pass_rate").iter_rows()) == measured


def test_a_reference_can_t_be_chosen_by_what_it_measures() -> None:
    with pytest.raises(UserError, match=r"tune.select.difficulty=hard: the rows of a reference model"):
        compose([*TINY, "data.difficulty.reference.stages.fine.tune.select.difficulty=hard"])


def test_code_of_a_reference_model_never_runs() -> None:
    model = "data.difficulty.reference.stages.fine.model"
    asked = compose([*TINY, f"{model}.source=hub", f"{model}.path=here", f"+{model}.trust_remote_code=true"])
    with pytest.raises(UserError, match="trust_remote_code is for the trained model alone"):
        check_alone(asked)
