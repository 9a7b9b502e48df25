"""Subsets and bases that are drawn anew: replicates of their own, with trainings within each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limo_ablate.effects import items, load_trials
from limo_ablate.effects.contrasts import contrasts
from limo_ablate.effects.cube import Cube, cube
from limo_ablate.effects.factors import components
from limo_ablate.effects.power import Contrast
from limo_ablate.errors import UserError
from tests.made_study import Making

AXES = ["select.quality", "select.seed"]
TIERS = {"name": "tiers", "overrides": ["model=mini_m", "select.difficulty=any", "select.size=64"]}
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
    assert list(shares) == ["problem", "subset", "training", "rest", "sample"]
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
    assert "factor=select.seed: drawn anew at each point" in row["note"]
    both = {"select.quality": ["L1", "L5"], "select.seed": [0, 1], "model.pretrain.seed": [0, 1]}
    twice = load_trials(made(tmp_path / "twice", both))
    with pytest.raises(UserError, match=r"select\.seed and model\.pretrain\.seed are both drawn anew"):
        cube(twice, items(twice), list(both), "mini")


def test_an_arm_that_failed_is_said_to_have_no_finished_trial(tmp_path: Path) -> None:
    axes = {"select.quality": ["L1", "L5"], "select.seed": [0]}
    trials = load_trials(made(tmp_path, axes))
    for trial in trials:
        if trial.asked["select.quality"] == "L1":
            (trial.folder / "metrics.json").unlink()
    left = load_trials(tmp_path)
    (row,) = contrasts([CONTRAST], {"tiers": AXES}, left, items(left)).rows(named=True)
    assert row["note"] == "no finished trial at select.quality=L1; there are: L5"


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
    assert found["rest"]["variance"] == pytest.approx(0, abs=0.002)
    total = sum(row["of_mean"] for row in found.values())
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
