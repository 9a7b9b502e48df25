"""Layout of the charts: names that don't touch, axes that end where they should, curves with bands."""

from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.report.declared.charts import efficiency_chart, note
from limo_ablate.report.declared.sizes import spread_labels
from limo_ablate.report.study_view import StudyView, load
from tests.made_study import FIGURES, SIZE_QUALITY, Making


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> StudyView:
    return load(Making(tmp_path_factory.mktemp("study")).write())


def spec(view: StudyView, place: int) -> dict:
    figure = view.figures[place]
    (data,) = view.data(figure)
    return efficiency_chart(data).to_dict()


def test_names_keep_their_place_where_there_is_room() -> None:
    assert spread_labels([0.1, 0.4, 0.8], 0.05, 1.0) == pytest.approx([0.1, 0.4, 0.8])


@pytest.mark.parametrize(
    "wished", [[0.5, 0.5], [0.5, 0.51, 0.52], [0.2, 0.21, 0.6, 0.61, 0.62], [0.99, 1.0, 1.0]]
)
def test_names_never_touch_and_stay_below_the_ceiling(wished: list[float]) -> None:
    placed = spread_labels(wished, 0.05, 1.0)
    assert all(b - a >= 0.05 - 1e-9 for a, b in pairwise(placed))
    assert max(placed) <= 1.0 + 1e-9


def test_names_that_touch_move_about_their_middle() -> None:
    assert spread_labels([0.5, 0.52], 0.06, 1.0) == pytest.approx([0.48, 0.54])


def test_sizes_have_ticks_where_they_were_measured_on_a_log_axis(view: StudyView) -> None:
    x = spec(view, 0)["layer"][0]["encoding"]["x"]
    assert x["scale"]["type"] == "log"
    assert x["axis"]["values"] == [4, 16, 64, 256]


def test_size_zero_is_a_dashed_line(view: StudyView) -> None:
    dashed = [layer for layer in spec(view, 2)["layer"] if layer["mark"].get("strokeDash")]
    assert len(dashed) == 1
    (rows,) = [spec(view, 2)["datasets"][dashed[0]["data"]["name"]]]
    assert {row["x"] for row in rows} == {0}
    assert {row["line"] for row in rows} == {"mini_s", "mini_m"}
    assert all(0 not in layer["encoding"]["x"]["axis"]["values"] for layer in spec(view, 2)["layer"][1:2])


def test_bars_are_one_standard_error_over_seeds(view: StudyView) -> None:
    figure = view.figures[0]
    (data,) = view.data(figure)
    chart = efficiency_chart(data).to_dict()
    rows = pl.DataFrame(chart["datasets"][chart["layer"][2]["data"]["name"]]).filter(pl.col("line") == "L5")
    points = data.points.filter(pl.col("line") == "L5")
    assert (rows["top"] - rows["mean"]).to_list() == pytest.approx(points["stderr"].to_list())
    assert "standard error over seeds and problems" in note(data)


def test_one_seed_says_that_its_bars_are_over_problems(tmp_path: Path) -> None:
    view = load(Making(tmp_path, seeds=[4]).write())
    (data,) = view.data(view.figures[0])
    assert note(data).startswith("Mean of 1 seed, bars ± 1 standard error over problems.")


def test_the_accuracy_axis_starts_at_zero_and_leaves_no_bar_out(view: StudyView) -> None:
    low, high = spec(view, 0)["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert low == 0
    tops = [row["top"] for rows in spec(view, 0)["datasets"].values() for row in rows if "top" in row]
    assert max(tops) <= high <= 1


def test_a_size_figure_has_the_fitted_curve_and_its_band(view: StudyView) -> None:
    (data,) = view.data(view.figures[0])
    assert data.fits
    area = next(layer for layer in spec(view, 0)["layer"] if layer["mark"]["type"] == "area")
    rows = pl.DataFrame(spec(view, 0)["datasets"][area["data"]["name"]]).filter(pl.col("line") == "L4")
    low, high = data.fits.curves["L4"].band()
    assert rows["low"].to_list() == pytest.approx(low, abs=1e-3)
    assert rows["high"].to_list() == pytest.approx(high, abs=1e-3)
    assert "simultaneous 95 % band" in note(data)


def test_two_sizes_are_joined_without_a_curve(tmp_path: Path) -> None:
    block = {**SIZE_QUALITY, "axes": {"select.size": [4, 64], "select.quality": ["L3", "L4"]}}
    view = load(Making(tmp_path, blocks=[block], figures=[FIGURES[0]], seeds=[0, 1]).write())
    (data,) = view.data(view.figures[0])
    assert data.fits is None
    assert "fitted" not in note(data)
    assert all(layer["mark"]["type"] != "area" for layer in spec(view, 0)["layer"])


def test_a_line_that_lacks_a_size_is_joined_beside_the_fitted_ones(tmp_path: Path) -> None:
    def failing(asked: dict, seed: int) -> bool:
        return asked["select.size"] in (16, 64) and asked["select.quality"] == "L5"

    block = {**SIZE_QUALITY, "axes": {"select.size": [4, 16, 64, 256], "select.quality": ["L3", "L4", "L5"]}}
    view = load(Making(tmp_path, blocks=[block], figures=[FIGURES[0]], seeds=[0, 1], failing=failing).write())
    (data,) = view.data(view.figures[0])
    assert data.fits
    assert list(data.fits.curves) == ["L3", "L4"]
    assert "L5: points joined" in note(data)
