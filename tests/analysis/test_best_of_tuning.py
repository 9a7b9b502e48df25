from pathlib import Path
from typing import Any

import pytest

from limo_ablate.analysis.trials import Trial, best_of_tuning
from limo_ablate.study.axes import Range
from limo_ablate.study.block import Block, Tune
from tests.report.declared.test_figures import panels


def trial(size: int, seed: int, rate: float, loss: float) -> Trial:
    asked = {"select.size": size, "train.learning_rate": rate}
    metrics = {"scores": {"mini": {"accuracy": 1 - rate}}, "train": {"dev_loss": loss}}
    return Trial(f"{size}-{seed}-{rate}", Path("nowhere"), seed, ("b",), asked, metrics, None)


@pytest.mark.parametrize(
    ("direction", "rates"), [("minimize", [0.2, 0.1, 0.3]), ("maximize", [0.1, 0.2, 0.3])]
)
def test_each_point_under_each_seed_is_its_best_trial(direction: Any, rates: list[float]) -> None:
    tune = Tune(
        axes={"train.learning_rate": Range(low=0.1, high=1.0)},
        n=2,
        score="train.dev_loss",
        direction=direction,
    )
    block = Block(name="b", axes={"select.size": (4, 16)}, tune=tune)
    trials = [trial(4, 0, 0.1, 3.0), trial(4, 0, 0.2, 2.0), trial(16, 0, 0.1, 1.0), trial(16, 0, 0.2, 4.0), trial(4, 1, 0.3, 9.0)]  # noqa: E501 # fmt: skip
    assert [t.overrides["train.learning_rate"] for t in best_of_tuning(trials, block)] == rates


def test_keys_that_vary_together_make_one_panel_each(tmp_path: Path) -> None:
    axes = {"model, select.difficulty": [["mini_s", "easy"], ["mini_m", "hard"]], "select.size": [4, 16], "select.quality": ["L1", "L5"]}  # noqa: E501 # fmt: skip
    found = panels(tmp_path, {"name": "b", "axes": axes})
    assert [one.figure.title for one in found] == ["T (model mini_s)", "T (model mini_m)"]
    by_pair = panels(tmp_path / "x", {"name": "b", "axes": axes}, x="select.difficulty")
    assert [one.levels for one in by_pair] == [["easy", "hard"]] * 2  # a panel for each size


def test_a_fractional_block_is_averaged_over_its_other_axes(tmp_path: Path) -> None:
    axes = {"select.size": [4, 16], "select.quality": ["L1", "L5"], "model": ["mini_s", "mini_m"]}
    block = {"name": "b", "design": "fractional", "resolution": 3, "axes": axes, "overrides": ["select.difficulty=any"]}  # noqa: E501 # fmt: skip
    (found,) = panels(tmp_path, block)
    assert found.points.height == 4
    (marginal,) = panels(tmp_path / "x", block, line="select.difficulty")
    assert marginal.points["seeds"].to_list() == [2, 2]
