"""Contrasts of a study on disk with planted effects."""

from pathlib import Path
from typing import Any

import pytest

from limo_ablate.analysis.answers import items
from limo_ablate.analysis.contrasts import contrasts
from limo_ablate.analysis.cube import contrast_weights, cube, mean_weights
from limo_ablate.analysis.power import Contrast
from limo_ablate.analysis.trials import load_trials
from limo_ablate.core.errors import UserError
from tests.made_study import SIZE_QUALITY, Making

AXES = {"size x quality": ["select.size", "select.quality"]}


def planted(asked: dict[str, Any]) -> float:
    """L5 is 0.2 above L1, L2 is L1."""
    return {"L1": 0.4, "L2": 0.4, "L3": 0.5, "L4": 0.55, "L5": 0.6}[asked["select.quality"]]


def quality(a: str, b: str, **more: Any) -> Contrast:
    given = {"name": f"{a}, {b}", "block": "size x quality", "factor": "select.quality", "score": "mini"}
    return Contrast(**{**given, "a": a, "b": b, **more})


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    return Making(folder / "made", blocks=(SIZE_QUALITY,), figures=(), accuracy=planted).write()


def test_planted_effects_are_found_and_no_others(study: Path) -> None:
    trials = load_trials(study)
    wanted = [
        quality("L1", "L5"),
        quality("L1", "L2", margin=0.15),
        quality("L1", "L2", margin=0.01, primary=False),
        quality("L1", "L3", score="mini/hard", primary=False),
    ]
    found = contrasts(wanted, AXES, trials, items(trials))
    assert found["conclusion"].to_list()[:3] == ["different", "equivalent", "unclear"]
    first = found.row(0, named=True)
    assert first["low"] < 0.2 < first["high"]
    assert first["low_boot"] < first["effect"] < first["high_boot"]
    assert (first["problems"], first["samples"], first["seeds"]) == (60, 1, 3)
    assert first["p_adj"] == pytest.approx(2 * first["p"]), "two primary contrasts"
    assert found["p_adj"][2] == found["p"][2], "a secondary one stands alone"
    assert found["problems"][3] < 60


def test_what_cannot_be_compared_says_why(study: Path) -> None:
    trials = load_trials(study)
    wanted = [quality("L1", "L9"), quality("L1", "L5", score="aime"), quality("L1", "L5", factor="model")]
    found = contrasts(wanted, AXES, trials, items(trials))
    assert found["effect"].to_list() == [None] * 3
    assert "no finished trial at select.quality=L9; there are: L1, L2" in found["note"][0]
    assert "score aime: no finished trial" in found["note"][1]
    assert "factor=model: not an axis of the block; axes: select.size" in found["note"][2]


def test_one_sample_of_one_training_is_tested_as_mcnemar_does(study: Path) -> None:
    trials = [
        trial for trial in load_trials(study) if trial.seed == 0 and trial.overrides["select.size"] == 4
    ]
    (row,) = contrasts([quality("L1", "L5")], AXES, trials, items(trials)).rows(named=True)
    assert row["seeds"] == 1
    assert row["p_mcnemar"] == pytest.approx(row["p_flips"], abs=0.02)


def test_only_seeds_that_all_arms_have_are_compared(study: Path) -> None:
    trials = load_trials(study)
    part = [t for t in trials if not (t.seed == 2 and t.overrides["select.quality"] == "L5")]
    (row,) = contrasts([quality("L1", "L5")], AXES, part, items(part)).rows(named=True)
    assert row["seeds"] == 2
    found = cube(part, items(part), AXES["size x quality"], "mini")
    with pytest.raises(UserError, match="no seed has been run in all of the cells"):
        found.weighted(0 * contrast_weights(found, "select.quality", "L1", "L5"))


def test_weights_are_differences_of_level_means(study: Path) -> None:
    trials = load_trials(study)
    found = cube(trials, items(trials), AXES["size x quality"], "mini")
    weights = contrast_weights(found, "select.quality", "L1", "L5")
    assert weights.sum() == pytest.approx(0)
    expected = mean_weights(found, {"select.quality": "L5"}) - mean_weights(found, {"select.quality": "L1"})
    assert weights == pytest.approx(expected)
