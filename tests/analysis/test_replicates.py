"""Subsets and bases that are drawn anew: replicates of their own, with trainings within each."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from limo_ablate.analysis.answers import items
from limo_ablate.analysis.contrasts import contrast_numbers, contrasts
from limo_ablate.analysis.crossed import SHARE, crossed
from limo_ablate.analysis.cube import Cube, cube
from limo_ablate.analysis.factors import factor_effects
from limo_ablate.analysis.power import Contrast
from limo_ablate.analysis.replicates import largest_full_grid
from limo_ablate.analysis.summary import means_with_errors
from limo_ablate.analysis.trials import Trial, load_trials
from limo_ablate.analysis.variance_components import components
from limo_ablate.core.errors import UserError
from tests.made_study import Making

AXES = ["select.quality", "select.seed"]
TIERS = {"name": "tiers", "overrides": ["model=mini_m", "select.difficulty=any", "select.size=64"]}
TIERS_APART = np.array([-1.0, 1.0])
CONTRAST = Contrast(name="tier", block="tiers", factor="select.quality", a="L1", b="L5", score="mini")


def made(folder: Path, axes: dict[str, Any], **more: Any) -> Path:
    luck = {0: 0.0, 1: 0.2, 2: -0.2, 3: 0.1}
    return Making(
        folder, blocks=[{**TIERS, "axes": axes, **more}], figures=[], spread=0.0,
        accuracy=lambda asked: 0.4 + luck[asked["select.seed"]] * (asked["select.quality"] == "L5"),
    ).write()  # fmt: skip


def test_trainings_on_one_subset_are_no_replicates_of_it(tmp_path: Path) -> None:
    trials = load_trials(made(tmp_path, {"select.quality": ["L1", "L5"], "select.seed": [0, 1, 2, 3]}))
    found = cube(trials, items(trials), AXES, "mini")
    assert (found.axes, found.over, found.seeds) == (("select.quality",), "select.seed", (0, 1, 2, 3))
    assert found.trainings is not None
    assert found.trainings.shape == (2, 4, 3, 60)
    assert found.accuracy == pytest.approx(found.trainings.mean(axis=2))
    (row,) = contrasts([CONTRAST], {"tiers": AXES}, trials, items(trials)).rows(named=True)
    assert row["seeds"] == 4
    assert row["high"] - row["low"] > 0.3, "four subsets this far apart say little of others"
    shares = {row["component"]: row["variance"] for row in components(found).rows(named=True)}
    assert list(shares) == ["problem", "subset", "seed", "training", "rest", "sample"]
    assert shares["subset"] > 5 * shares["training"]


def test_subsets_around_a_base_are_levels_like_others(tmp_path: Path) -> None:
    base = {"select.quality": "L5", "select.seed": 0}
    axes = {"select.quality": ["L1", "L3", "L4"], "select.seed": [1, 2]}
    trials = load_trials(made(tmp_path, axes, design="ofat", base=base))
    found = cube(trials, items(trials), AXES, "mini")
    assert (found.axes, found.over, found.seeds) == (tuple(AXES), "seed", (0, 1, 2))


def test_what_is_drawn_anew_is_no_arm_and_there_is_one_of_it(tmp_path: Path) -> None:
    trials = load_trials(made(tmp_path, {"select.quality": ["L1", "L5"], "select.seed": [0, 1]}))
    seeds = Contrast(name="luck", block="tiers", factor="select.seed", a=0, b=1, score="mini")
    (row,) = contrasts([seeds], {"tiers": AXES}, trials, items(trials)).rows(named=True)
    assert "factor=select.seed: its levels are replicates" in row["note"]
    both = {"select.quality": ["L1", "L5"], "select.seed": [0, 1], "model.pretrain.seed": [0, 1]}
    twice = load_trials(made(tmp_path / "twice", both))
    with pytest.raises(UserError, match=r"select\.seed and model\.pretrain\.seed: a block can have one axis"):
        cube(twice, items(twice), list(both), "mini")


def test_an_arm_that_failed_is_said_to_have_no_finished_trial(tmp_path: Path) -> None:
    axes = {"select.quality": ["L1", "L5"], "select.seed": [0]}
    trials = load_trials(made(tmp_path, axes))
    for trial in trials:
        if trial.overrides["select.quality"] == "L1":
            (trial.folder / "metrics.json").unlink()
    left = load_trials(tmp_path)
    (row,) = contrasts([CONTRAST], {"tiers": AXES}, left, items(left)).rows(named=True)
    assert row["note"] == "no finished trial at select.quality=L1; there are: L5"


def drawn_by_seeds(rng: np.random.Generator, missing: str = "") -> Cube:
    """Two tiers without an effect on 5 bases x 3 seeds; each seed draws its own subset of a tier: SD 0.05."""
    trials, rows = [], []
    for tier in ("L1", "L4"):
        luck = 0.5 + rng.normal(0, 0.05, 3)
        for base, seed in product(range(5), range(3)):
            asked = {"select.quality": tier, "model.pretrain.seed": base}
            name = f"{tier}-{base}-{seed}"
            accuracy = luck[seed] + rng.normal(0, 0.005) + rng.normal(0, 0.2, 50)
            if name != missing:
                trials.append(Trial(name, Path(), seed, ("g",), asked, {}, None))
                rows.append(pl.DataFrame({"trial": name, "problem": range(50), "accuracy": accuracy}))
    answers = pl.concat(rows).with_columns(score=pl.lit("mini"), samples=1)
    return cube(trials, answers, ["select.quality", "model.pretrain.seed"], "mini")


@pytest.mark.slow
def test_subsets_that_the_seeds_draw_for_all_bases_alike_are_three_whatever_the_bases() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(60):
        row = contrast_numbers([drawn_by_seeds(rng)], [TIERS_APART], None, 0.05)
        assert row["seeds"] == 5
        held += row["low"] <= 0 <= row["high"]
    assert held >= 54


def test_a_trial_that_is_missing_costs_one_seed_of_the_grid() -> None:
    rng = np.random.default_rng(5)
    whole, part = drawn_by_seeds(rng), drawn_by_seeds(rng, missing="L4-2-1")
    assert whole.weighted(TIERS_APART).shape == (5, 3, 50)
    assert part.weighted(TIERS_APART).shape == (4, 3, 50)
    assert part.complete(TIERS_APART).tolist() == [True, True, False, True, True]
    assert part.common(np.array([1.0, 0.0])).shape == (2, 5, 3, 50), "the other arm has all of it"


def test_the_full_part_of_a_grid_is_what_is_left() -> None:
    run = np.ones((3, 4), dtype=bool)
    run[1] = False
    run[2, 3] = False
    rows, columns = largest_full_grid(run)
    assert (rows.tolist(), columns.tolist()) == ([True, False, True], [True, True, True, False])
    none = largest_full_grid(np.zeros((3, 1), dtype=bool))
    assert not any(part.any() for part in none)


def test_problems_of_one_cluster_give_no_errors() -> None:
    """Neither an interval of no width: a claim's note and a cell's null."""
    rng = np.random.default_rng(5)
    alike = replace(drawn_by_seeds(rng), clusters=np.zeros(50, dtype=np.int64))
    with pytest.raises(UserError, match="all 50 problems are in one cluster; standard errors need two"):
        contrast_numbers([alike], [TIERS_APART], None, 0.05)
    assert factor_effects(alike).is_empty()
    rows = pl.DataFrame({"cell": 0, "seed": [0, 0, 1, 1], "problem": ["a", "b"] * 2, "cluster": "one",
                         "value": [0.0, 1.0, 1.0, 1.0]})  # fmt: skip
    (row,) = means_with_errors(rows, ["cell"], ["seed"], "value", 0.95).rows(named=True)
    assert (row["mean"], row["stderr"], row["low"]) == (0.75, None, None)


def test_a_cells_mean_is_over_the_grid_of_bases_and_seeds() -> None:
    rng = np.random.default_rng(5)
    values = rng.random((3, 2, 20))
    places = list(product(range(3), range(2), range(20)))
    rows = pl.DataFrame(places, schema=["base", "seed", "problem"], orient="row")
    rows = rows.with_columns(cell=0, value=pl.Series(values.ravel()))
    (row,) = means_with_errors(rows, ["cell"], ["base", "seed"], "value", 0.95).rows(named=True)
    (low,), (high,) = crossed(values[None], bounds=SHARE).interval()
    assert (row["seeds"], row["low"], row["high"]) == (3, pytest.approx(low), pytest.approx(high))
    left = rows.filter(~((pl.col("base") == 1) & (pl.col("seed") == 0)))
    (row,) = means_with_errors(left, ["cell"], ["base", "seed"], "value", 0.95).rows(named=True)
    assert row["mean"] == pytest.approx(values[[0, 2]].mean())


def test_components_of_nested_draws_are_recovered() -> None:
    """Over many cells: SDs of problems 0.12, subsets 0.08, trainings 0.05; binomial samples."""
    rng = np.random.default_rng(3)
    c, s, r, n, k = 200, 4, 3, 60, 8
    chance = 0.5 + rng.normal(0, 0.08, (c, s, 1, 1)) + rng.normal(0, 0.05, (c, s, r, 1))
    chance = np.clip(chance + rng.normal(0, 0.12, (c, 1, 1, n)), 0, 1)
    trainings = rng.binomial(k, chance) / k
    block = Cube(
        ("x",), tuple((i,) for i in range(c)), tuple(range(s)), tuple(map(str, range(n))),
        trainings.mean(axis=2), k, "select.seed", trainings,
    )  # fmt: skip
    found = {row["component"]: row for row in components(block).rows(named=True)}
    assert found["problem"]["sd"] == pytest.approx(0.12, rel=0.05)
    assert found["subset"]["sd"] == pytest.approx(0.08, rel=0.1)
    assert found["training"]["sd"] == pytest.approx(0.05, rel=0.05)
    assert found["seed"]["sd"] == pytest.approx(0, abs=0.015), "what the draws' trainings share: nothing"
    assert found["rest"]["variance"] == pytest.approx(0, abs=0.002)
    total = sum(row["of_mean"] for row in found.values())
    drawn = rng.normal(0, 0.08, (c, 1, r, 1))
    common = replace(block, accuracy=block.accuracy + drawn.mean(axis=2), trainings=trainings + drawn)
    shared = {row["component"]: row["sd"] for row in components(common).rows(named=True)}
    assert shared["seed"] == pytest.approx(0.08, rel=0.15)
    assert shared["training"] == pytest.approx(found["training"]["sd"])
    assert total == pytest.approx(block.accuracy.mean(axis=(1, 2)).var(), rel=0.2), "what means vary by"
    one = {row["component"]: row["sd"] for row in components(_first(block)).rows(named=True)}
    assert one["training"] is None
    assert one["subset"] == pytest.approx((0.08**2 + 0.05**2) ** 0.5, rel=0.1), "both in one"


def _first(block: Cube) -> Cube:
    assert block.trainings is not None
    part = block.trainings[:, :, :1]
    return Cube(
        block.axes, block.cells, block.seeds, block.problems, part[:, :, 0], block.samples, block.over, part
    )
