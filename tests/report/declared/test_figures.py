"""What the figures show: which trials, in which order, on which axis; and how a declaration can be wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from limo_ablate.analysis.crossed import crossed
from limo_ablate.analysis.factors import complete_grid, factor_effects
from limo_ablate.analysis.table import table
from limo_ablate.core.errors import UserError
from limo_ablate.report.declared.charts import efficiency_chart, note
from limo_ablate.report.figure_data import UNTRAINED, FigureData, full_grid
from limo_ablate.report.figure_findings import finding
from limo_ablate.report.study_view import StudyView, load
from tests.made_study import FIGURES, SIZE_MODEL, SIZE_QUALITY, Making


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> StudyView:
    return load(Making(tmp_path_factory.mktemp("study")).write())


def data(view: StudyView, place: int) -> FigureData:
    figure = view.figures[place]
    (found,) = view.data(figure)
    return found


def panels(folder: Path, block: dict[str, Any], **figure: str) -> list[FigureData]:
    declared = {
        "title": "T",
        "block": block["name"],
        "x": "select.size",
        "line": "select.quality",
        "score": "mini",
    }
    made = Making(
        folder, blocks=[block], figures=[declared | figure], seeds=[0, 1], accuracy=lambda asked: 0.5
    )
    view = load(made.write())
    return view.data(view.figures[0])


def test_a_point_is_the_mean_over_the_seeds_of_a_blocks_cell(view: StudyView) -> None:
    shown = data(view, 0)
    rows = table(view.folder).filter(
        pl.col("select.size") == 64, pl.col("select.quality") == "L4", pl.col("model") == "mini_m",
        pl.col("select.difficulty") == "any", pl.col("score") == "mini",
    )  # fmt: skip
    point = shown.points.row(by_predicate=(pl.col("x") == 64) & (pl.col("line") == "L4"), named=True)
    assert point["seeds"] == rows.height == 3
    assert point["mean"] == pytest.approx(rows["accuracy"].mean())
    assert shown.points.height == 4 * 5


def test_a_figure_of_the_completions_that_end(tmp_path: Path) -> None:
    (shown,) = panels(tmp_path, SIZE_QUALITY, score="mini.finished")
    verdicts = pl.read_parquet(next(tmp_path.glob("trials/*/verdicts.parquet")))
    finished = (verdicts["finish"] != "length").mean()
    assert finished is not None
    assert 0.5 < finished < 1
    assert shown.points["mean"].to_list() == pytest.approx([finished] * 20), "all trials cut off the same"
    assert "share finished on mini" in str(efficiency_chart(shown).to_dict())
    assert f"{100 * finished:.1f}" in finding(shown)
    assert not list(load(tmp_path).panels(of_accuracy=True)), "sections on accuracy leave it out"
    assert load(tmp_path).score_of(load(tmp_path).study.blocks[0]) == "mini"


def test_levels_and_lines_keep_the_declared_order(view: StudyView) -> None:
    assert data(view, 0).lines == ["L1", "L2", "L3", "L4", "L5"]
    assert data(view, 0).levels == [4, 16, 64, 256]
    assert data(view, 1).levels == ["easy", "medium", "hard"]
    assert data(view, 2).lines == ["mini_s", "mini_m"]


def test_the_axis_fits_the_levels(view: StudyView) -> None:
    assert [data(view, place).scale for place in range(3)] == ["log", "category", "log"]


def test_a_narrow_range_is_linear(tmp_path: Path) -> None:
    block = {**SIZE_QUALITY, "axes": {"select.size": [40, 60, 80], "select.quality": ["L4"]}}
    (shown,) = panels(tmp_path, block)
    assert shown.scale == "linear"


def test_all_rows_is_a_category(tmp_path: Path) -> None:
    block = {**SIZE_QUALITY, "axes": {"select.size": [64, None], "select.quality": ["L4"]}}
    (shown,) = panels(tmp_path, block)
    assert (shown.scale, shown.levels) == ("category", ["64", "all"])
    assert shown.points["x"].to_list() == ["64", "all"]


def test_the_untrained_base_belongs_to_no_selection(tmp_path: Path) -> None:
    block = {**SIZE_QUALITY, "axes": {"select.size": [0, 4, 64], "select.quality": ["L4", "L5"]}}
    (shown,) = panels(tmp_path, block)
    assert shown.lines == ["L4", "L5"]
    assert shown.base.select("x", "line", "seeds").rows() == [(0, UNTRAINED, 2)]
    assert "before fine-tuning)" in finding(shown)
    assert sorted(set(shown.curve["x"])) == [4, 64]


def test_the_untrained_base_belongs_to_its_model(view: StudyView) -> None:
    base = data(view, 2).base
    assert base.select("x", "line").rows() == [(0, "mini_s"), (0, "mini_m")]


def test_a_study_of_the_base_alone_has_points(tmp_path: Path) -> None:
    block = {**SIZE_QUALITY, "axes": {"select.size": [0], "select.quality": ["L4"]}}
    (shown,) = panels(tmp_path, block)
    assert (shown.lines, shown.base.height, shown.curve.height) == ([UNTRAINED], 0, 1)
    assert "untrained" in finding(shown)
    efficiency_chart(shown).to_dict()


def test_a_further_axis_gives_a_figure_for_each_of_its_levels(tmp_path: Path) -> None:
    block = {**SIZE_MODEL, "axes": {**SIZE_MODEL["axes"], "select.quality": ["L4", "L5"]}, "overrides": ["select.difficulty=any"]}  # noqa: E501 # fmt: skip
    shown = panels(tmp_path, block)
    assert [d.figure.title for d in shown] == ["T (model mini_s)", "T (model mini_m)"]
    assert all(d.points["seeds"].to_list() == [2] * 7 for d in shown)


def test_a_panel_of_one_size_is_without_the_untrained_base(tmp_path: Path) -> None:
    block = {"name": "b", "axes": {"select.size": [0, 16], "select.quality": ["L1", "L5"]}}
    shown = panels(tmp_path, block, x="select.quality", line="all")
    assert [one.figure.title for one in shown] == ["T (size 0)", "T (size 16)"]
    assert shown[1].lines == ["all"]
    assert shown[1].points.select("x", "seeds").rows() == [("L1", 2), ("L5", 2)]
    (by_size,) = panels(tmp_path / "by size", block, x="select.quality", line="select.size")
    expected = by_size.points.filter(line="16")["mean"].to_list()
    assert shown[1].points["mean"].to_list() == expected


def test_a_further_axis_of_seeds_is_what_the_bars_are_over(tmp_path: Path) -> None:
    axes = {"select.size": [4, 64], "select.quality": ["L4"], "model.pretrain.seed": [0, 1, 2]}
    (shown,) = panels(tmp_path, {**SIZE_QUALITY, "axes": axes})
    assert shown.points["seeds"].to_list() == [3, 3]


def test_bars_over_bases_know_that_seeds_are_shared(tmp_path: Path) -> None:
    """The interval of a point is that of the block's cube, so that of contrasts."""
    axes = {"select.size": [4, 64], "select.quality": ["L4"], "model.pretrain.seed": [0, 1, 2]}
    (shown,) = panels(tmp_path, {**SIZE_QUALITY, "axes": axes})
    view = load(tmp_path)
    block = view.cube(view.study.blocks[0], "mini")
    assert block.trainings is not None
    low, high = crossed(block.trainings).interval()
    assert shown.points["low"].to_list() == pytest.approx(list(low))
    assert shown.points["high"].to_list() == pytest.approx(list(high))
    assert "over pre-training seeds, seeds and problems" in note(shown)


def test_two_axes_of_seeds_are_refused_as_in_contrasts(tmp_path: Path) -> None:
    seeds = {"select.seed": [0, 1], "model.pretrain.seed": [0, 1]}
    block = {**SIZE_QUALITY, "axes": {"select.size": [4, 64], "select.quality": ["L4"], **seeds}}
    with pytest.raises(UserError, match=r"select\.seed and model\.pretrain\.seed: a block can have one axis"):
        panels(tmp_path, block)


def test_bands_and_interactions_are_over_clusters(tmp_path: Path) -> None:
    """Of problems that go together by tens, as the study says; the heatmap's are those of the cube."""
    single = load(Making(tmp_path, blocks=[SIZE_QUALITY], figures=[FIGURES[0]]).write())
    for trial in single.done:
        verdicts = pl.read_parquet(trial.folder / "verdicts.parquet")
        contest = (pl.col("problem").rank("dense") // 10).cast(pl.String)
        verdicts.with_columns(source=contest).write_parquet(trial.folder / "verdicts.parquet")
    declared = yaml.safe_load((tmp_path / "study.yaml").read_text()) | {"cluster": "source"}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(declared))
    view = load(tmp_path)
    (shown,) = view.data(view.figures[0])
    block = complete_grid(view.cube(view.study.blocks[0], "mini"))
    found, expected = full_grid(shown.answers), factor_effects(block).filter(kind="interaction")
    assert found is not None
    assert sorted(factor_effects(found).filter(kind="interaction")["stderr"]) == pytest.approx(
        sorted(expected["stderr"])
    )
    (alone,) = single.data(single.figures[0])
    assert shown.fits is not None
    assert alone.fits is not None
    curves = [fits.curves["L5"].draws for fits in (shown.fits, alone.fits)]
    assert not np.allclose(*curves)


def test_one_factor_at_a_time_leaves_the_others_at_the_base(tmp_path: Path) -> None:
    block = {
        "name": "ofat", "design": "ofat", "base": {"select.size": 64, "select.quality": "L4"},
        "axes": {"select.size": [4, 64], "select.quality": ["L3", "L4"]},
        "overrides": ["model=mini_m", "select.difficulty=any"],
    }  # fmt: skip
    (shown,) = panels(tmp_path, block, line="model")
    assert shown.points["seeds"].to_list() == [2, 2]
    assert sorted(shown.points["x"].to_list()) == [4, 64]


def test_a_block_without_results_has_no_figure(tmp_path: Path) -> None:
    folder = Making(tmp_path, seeds=[0], failing=lambda asked, seed: True).write()
    view = load(folder)
    assert view.data(view.figures[0]) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"score": "mini/hrad"}, "score=mini/hrad; did you mean mini/hard?"),
        ({"x": "select.sise"}, "select.sise: no key"),
    ],
)
def test_a_wrong_score_or_key_is_named(tmp_path: Path, wrong: dict[str, str], message: str) -> None:
    with pytest.raises(UserError) as error:
        panels(tmp_path, SIZE_QUALITY, **wrong)
    assert message in str(error.value)
