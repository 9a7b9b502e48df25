"""A study's trials as read from disk."""

import json
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.analysis.answers import items
from limo_ablate.analysis.cube import contrast_weights, cube
from limo_ablate.analysis.factors import factor_effects
from limo_ablate.analysis.table import table
from limo_ablate.analysis.trials import load_trials
from limo_ablate.core.errors import UserError
from limo_ablate.study.contrast import Contrast
from tests.made_study import DIFFICULTY, SIZE_QUALITY, Making

SMALL = {**SIZE_QUALITY, "axes": {"select.size": [4, 64], "select.quality": ["L4"]}}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return Making(
        tmp_path / "study",
        blocks=[SMALL, DIFFICULTY],
        figures=[],
        seeds=[0, 1],
        failing=lambda asked, seed: asked["select.size"] == 4 and seed == 1,
    ).write()


def test_trials_are_done_failed_or_missing(study: Path) -> None:
    trials = load_trials(study)
    assert len(trials) == 2 * (2 + 3)
    (failed,) = [t for t in trials if t.failure]
    assert failed.failure is not None
    assert failed.failure["reason"] == "RuntimeError: out of memory"
    assert failed.metrics is None
    done = trials[-1]
    (done.folder / "metrics.json").unlink()
    (missing,) = [t for t in load_trials(study) if not t.metrics and not t.failure]
    assert missing.name == done.name


def test_a_result_outlives_the_failure_before_it(study: Path) -> None:
    done = next(t for t in load_trials(study) if t.metrics)
    (done.folder / "failed.json").write_text('{"reason": "an earlier attempt"}')
    again = next(t for t in load_trials(study) if t.name == done.name)
    assert again.metrics == done.metrics
    assert again.failure is None


def test_folders_that_are_no_longer_the_studys_are_not_read(study: Path) -> None:
    cells = json.loads((study / "cells.json").read_text())
    (study / "cells.json").write_text(json.dumps(cells[:3]))
    assert len(load_trials(study)) == 3


def test_a_level_is_what_was_asked_or_else_what_was_configured(study: Path) -> None:
    trial = load_trials(study)[0]
    assert trial.level("select.size") == 4
    assert trial.level("model") == "mini_m"
    assert trial.level("select.order") == "random"
    assert trial.level("hardware") == "cpu"  # a group is its name
    assert trial.level_if_any("select.shuffle") is None
    with pytest.raises(UserError, match=r"select\.shuffle: no key .* of trial"):
        trial.level("select.shuffle")


def test_a_folder_without_a_study_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"it has no cells\.json"):
        load_trials(tmp_path)


def test_the_table_has_a_row_for_each_finished_trial_and_score(study: Path) -> None:
    rows = table(study)
    done = [t for t in load_trials(study) if t.metrics]
    assert rows.height == len(done) * 3
    assert set(rows["score"]) == {"mini", "mini/easy", "mini/hard"}
    for trial in done:
        assert trial.metrics is not None
        mine = (pl.col("trial") == trial.name) & (pl.col("score") == "mini/hard")
        row = rows.row(by_predicate=mine, named=True)
        assert row["accuracy"] == trial.metrics["scores"]["mini/hard"]["accuracy"]
        assert (row["select.size"], row["seed"]) == (trial.overrides["select.size"], trial.seed)
        assert row["trained_steps"] == 120


def test_levels_of_several_types_become_text(tmp_path: Path) -> None:
    block = {**DIFFICULTY, "axes": {"select.difficulty": ["hard", 0.5]}}
    study = Making(tmp_path, blocks=[block], figures=[], seeds=[0], accuracy=lambda asked: 0.5).write()
    assert table(study)["select.difficulty"].unique().sort().to_list() == ["0.5", "hard"]


def test_an_untrained_base_has_no_training_columns(tmp_path: Path) -> None:
    block = {**SMALL, "axes": {"select.size": [0], "select.quality": ["L4"]}}
    rows = table(Making(tmp_path, blocks=[block], figures=[], seeds=[0]).write())
    assert rows["trained_loss"].to_list() == [None] * 3


def test_a_mapping_is_a_level_like_any_other(tmp_path: Path) -> None:
    mixtures = [{"ours": 1}, {"ours": 0.7, "theirs": 0.3}]
    block = {
        "name": "mixtures",
        "axes": {"select.shares": mixtures, "select.size": [4, 16]},
        "overrides": ["model=mini_m", "select.quality=any"],
    }
    accuracy = {1: 0.2, 2: 0.6}
    study = Making(
        tmp_path, blocks=[block], figures=[], accuracy=lambda asked: accuracy[len(asked["select.shares"])]
    ).write()
    trials = load_trials(study)
    made = cube(trials, items(trials), ["select.shares", "select.size"], "mini")
    assert {level for level, _ in made.cells} == {trial.level("select.shares") for trial in trials}
    effects = factor_effects(made).filter(kind="main", factor="select.shares")
    assert set(effects["level"]) == {"ours 1", "ours 0.7, theirs 0.3"}
    contrast = Contrast(
        name="c", block="mixtures", factor="select.shares", a=mixtures[0], b=mixtures[1], score="mini"
    )
    parts = [len(level) for level, _ in made.cells]
    weights = dict(zip(parts, contrast_weights(made, contrast), strict=True))
    assert weights == {1: -0.5, 2: 0.5}
