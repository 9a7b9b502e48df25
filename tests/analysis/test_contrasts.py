"""Contrasts of a study on disk with planted effects."""

from dataclasses import replace
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


def test_arms_with_other_seeds_are_each_averaged_over_their_own(study: Path) -> None:
    trials = load_trials(study)
    part = [t for t in trials if not (t.seed == 2 and t.overrides["select.quality"] == "L5")]
    (row,) = contrasts([quality("L1", "L5")], AXES, part, items(part)).rows(named=True)
    (whole,) = contrasts([quality("L1", "L5")], AXES, trials, items(trials)).rows(named=True)
    assert (row["paired"], row["seeds"], whole["paired"]) == (False, 3, True)
    assert row["low"] < 0.2 < row["high"]
    apart = [t for t in trials if (t.seed < 2) == (t.overrides["select.quality"] == "L5")]
    (row,) = contrasts([quality("L1", "L5")], AXES, apart, items(apart)).rows(named=True)
    assert row["effect"] == pytest.approx(0.2, abs=0.1)
    one_each = [t for t in trials if t.seed == (t.overrides["select.quality"] == "L5")]
    (row,) = contrasts([quality("L1", "L5")], AXES, one_each, items(one_each)).rows(named=True)
    assert row["note"] == "the arms have one seed each, and not the same; no error can be estimated"


def test_weights_are_differences_of_level_means(study: Path) -> None:
    trials = load_trials(study)
    found = cube(trials, items(trials), AXES["size x quality"], "mini")
    weights = contrast_weights(found, quality("L1", "L5"))
    assert weights.sum() == pytest.approx(0)
    expected = mean_weights(found, {"select.quality": "L5"}) - mean_weights(found, {"select.quality": "L1"})
    assert weights == pytest.approx(expected)
    with pytest.raises(UserError, match="no seed has been run in all of the cells"):
        found.weighted(0 * weights)


def test_a_contrast_says_where_it_compares(study: Path) -> None:
    trials = load_trials(study)
    wanted = [quality("L1", "L5"), quality("L1", "L5", at={"select.size": [4, 16]})]
    wanted += [quality("L1", "L5", at={"select.size": 5}), quality("L1", "L5", at={"model": "mini_m"})]
    found = contrasts(wanted, AXES, trials, items(trials))
    assert found["over"].to_list()[:2] == ["select.size=4, 16, 64, 256", "select.size=4, 16"]
    assert "no finished trial at select.quality=L1, select.size=5" in found["note"][2]
    assert "factor=model: not an axis of the block" in found["note"][3]


def test_levels_averaged_over_are_listed_by_their_value(tmp_path: Path) -> None:
    block = {**SIZE_QUALITY, "axes": {"select.size": [256, 8, 32], "select.quality": ["L5", "L1"]}}
    trials = load_trials(Making(tmp_path, blocks=(block,), figures=(), accuracy=planted).write())
    (size,) = contrasts([quality("L1", "L5")], AXES, trials, items(trials))["over"]
    assert size == "select.size=8, 32, 256"
    by_size = replace(quality("L1", "L5"), factor="select.size", a=8, b=32)
    (tier,) = contrasts([by_size], AXES, trials, items(trials))["over"]
    assert tier == "select.quality=L5, L1", "words as they were declared"


def test_untuned_models_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    """A mean over tuned and untuned models is of neither: the difference is 0.5 where they are tuned."""
    axes = {"select.size": [0, 16, 64], "model": ["mini_s", "mini_m"]}
    block = {"name": "b", "axes": axes, "overrides": ["select.quality=L4", "select.difficulty=any"]}

    def accuracy(asked: dict[str, Any]) -> float:
        return 0.6 if asked["select.size"] and asked["model"] == "mini_m" else 0.1

    made = Making(tmp_path / "made", blocks=(block,), figures=(), accuracy=accuracy).write()
    trials = load_trials(made)
    given: dict[str, Any] = {"name": "m", "block": "b", "factor": "model", "score": "mini"}
    given |= {"a": "mini_s", "b": "mini_m"}
    all_sizes = {"select.size": [0, 16, 64]}
    wanted = [Contrast(**given), Contrast(**given, at=all_sizes)]
    wanted.append(Contrast(**(given | {"factor": "select.size", "a": 0, "b": 64})))
    found = contrasts(wanted, {"b": list(axes)}, trials, items(trials))
    assert found["effect"].to_list() == pytest.approx([0.5, 0.333, 0.25], abs=0.09)
    assert found["over"].to_list() == ["select.size=16, 64", "select.size=0, 16, 64", "model=mini_s, mini_m"]


def test_two_arms_that_solve_nothing_give_no_information(tmp_path: Path) -> None:
    block = {
        "name": "size x quality",
        "axes": {"select.size": [4], "select.quality": ["L1", "L5"]},
        "overrides": ["model=mini_m", "select.difficulty=any"],
    }
    for level in (-1.0, 2.0):  # beyond the bounds, whatever the problem
        made = Making(
            tmp_path / str(level), blocks=(block,), figures=(), accuracy=lambda _, level=level: level
        ).write()
        trials = load_trials(made)
        (row,) = contrasts([quality("L1", "L5", margin=0.2)], AXES, trials, items(trials)).rows(named=True)
        assert row["conclusion"] == "no information"
        assert (row["effect"], row["p"], row["p_adj"], row["p_equivalent"]) == (0, None, None, None)
        assert row["low"] < -0.01 < 0.01 < row["high"]


def test_equivalence_tests_share_alpha(study: Path) -> None:
    trials = load_trials(study)
    wanted = [quality("L1", "L2", margin=0.15, name=str(number)) for number in range(4)]
    wanted.append(quality("L1", "L2", margin=0.15, primary=False))
    found = contrasts(wanted, AXES, trials, items(trials))
    p = found["p_equivalent"][0]
    assert found["p_equivalent_adj"].to_list() == pytest.approx([4 * p] * 4 + [p])
