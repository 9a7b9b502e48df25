"""Main effects, interactions and variance components of blocks, against planted ones."""

from pathlib import Path

import pytest

from limo_ablate.report.factorial.components import error_reductions
from limo_ablate.report.factorial.components import section as components
from limo_ablate.report.factorial.factors import aliased, section
from limo_ablate.report.study_view import StudyView, load
from limo_ablate.study.block import Block
from tests.made_study import DIFFICULTY, FIGURES, SIZE_QUALITY, Making

SCREENING = {
    "name": "screening", "design": "fractional", "resolution": 3,
    "axes": {"select.size": [8, 64], "select.quality": ["L3", "L5"], "model": ["mini_s", "mini_m"]},
    "overrides": ["select.difficulty=any"],
}  # fmt: skip


def planted(asked: dict) -> float:
    """30 points for the size, 10 for the tier, nothing for the model."""
    return 0.2 + 0.3 * (asked["select.size"] == 64) + 0.1 * (asked["select.quality"] == "L5")


def made(folder: Path, block: dict, **more: object) -> StudyView:
    figure = {**FIGURES[0], "block": block["name"]}
    return load(
        Making(folder, blocks=[block], figures=[figure], accuracy=planted, problems=300, **more).write()
    )  # type: ignore[arg-type]


def test_a_fraction_finds_the_planted_effects_and_names_its_aliases(tmp_path: Path) -> None:
    found = section(made(tmp_path, SCREENING, spread=0.002))
    assert found
    table = found.charts[0].table
    assert table
    effects = {row[0]: float(row[1]) for row in table.rows}
    first = next(name for name in effects if name.startswith("training examples = solution tier × model"))
    assert first.endswith(": 8 → 64")
    assert effects[first] == pytest.approx(30, abs=4)
    assert any(
        "Aliased" in text and "training examples = solution tier × model" in text for text in found.text
    )


def test_around_a_base_each_level_is_against_the_base(tmp_path: Path) -> None:
    block = SCREENING | {
        "design": "ofat", "resolution": None,
        "base": {"select.size": 8, "select.quality": "L3", "model": "mini_s"},
        "axes": {"select.size": [4, 64], "select.quality": ["L5"], "model": ["mini_m"]},
    }  # fmt: skip
    found = section(made(tmp_path, block, spread=0.002))
    assert found
    (chart,) = found.charts
    assert chart.table
    effects = {row[1]: float(row[2]) for row in chart.table.rows}
    assert effects == pytest.approx({"4": 0, "64": 30, "L5": 10, "mini_m": 0}, abs=6)
    assert chart.finding.startswith("Significant, in points: training examples 64 +")
    assert "minus the base level" in chart.note


def test_resolution_five_mixes_nothing_of_two() -> None:
    axes = {f"a{i}": (0, 1) for i in range(5)}
    assert "aliased only with effects of more factors" in aliased(
        Block(name="b", axes=axes, design="fractional", resolution=5)
    )


def test_a_fraction_with_a_missing_run_says_nothing(tmp_path: Path) -> None:
    view = made(tmp_path, SCREENING, seeds=[0], failing=lambda asked, seed: asked["model"] == "mini_s")
    assert section(view) is None


def test_levels_are_against_the_mean_of_all(tmp_path: Path) -> None:
    block = {**SIZE_QUALITY, "axes": {"select.size": [4, 16, 64], "select.quality": ["L3", "L5"]}}
    found = section(made(tmp_path, block, spread=0.002))
    assert found
    table = found.charts[0].table
    assert table
    effects = {(row[0], row[1]): float(row[2]) for row in table.rows}
    assert effects["training examples", "64"] == pytest.approx(20, abs=3)
    assert effects["training examples", "4"] == pytest.approx(-10, abs=3)
    assert effects["solution tier", "L5"] == pytest.approx(5, abs=3)
    assert [key for key, _ in effects][:3] == ["training examples"] * 3


def test_one_factor_has_no_section_but_components(tmp_path: Path) -> None:
    view = load(Making(tmp_path, blocks=[DIFFICULTY], figures=[FIGURES[1]]).write())
    assert section(view) is None
    assert components(view)


def test_shares_of_a_mean_add_up_and_one_seed_says_so(tmp_path: Path) -> None:
    found = components(made(tmp_path / "three", SIZE_QUALITY))
    assert found
    spec = found.charts[0].spec
    assert spec
    (rows,) = spec["datasets"].values()
    assert sum(row["share"] for row in rows) == pytest.approx(1)


def test_what_to_buy_is_what_takes_off_most() -> None:
    import polars as pl

    rows = pl.DataFrame(
        {"component": ["problem", "training", "rest", "sample"], "of_mean": [0.0, 0.75, 0.0, 0.25]}
    )
    assert error_reductions(rows) == "seeds 29 %, problems 6 %, samples 6 %"
    one = rows.with_columns(
        of_mean=pl.when(pl.col("component") == "training").then(None).otherwise(pl.col("of_mean"))
    )
    assert error_reductions(one).endswith("run a second seed first")


def test_one_sample_of_one_seed_has_its_bar_and_bases_are_bought_apart_from_seeds(tmp_path: Path) -> None:
    single = components(load(Making(tmp_path / "one", blocks=[DIFFICULTY], figures=[], seeds=[0]).write()))
    assert single
    assert "problems 29 %" in single.charts[0].finding
    assert "samples" not in single.charts[0].finding, "a second greedy sample is the first again"
    block = {**DIFFICULTY, "axes": {**DIFFICULTY["axes"], "model.pretrain.seed": [0, 1]}}
    several = components(load(Making(tmp_path / "two", blocks=[block], figures=[]).write()))
    assert several
    assert all(f"{what} " in several.charts[0].finding for what in ("pre-trainings", "seeds"))
