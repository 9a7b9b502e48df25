"""The papers' points: drawn where a figure is of their benchmark and axis, and nowhere else."""

import json
from copy import deepcopy
from pathlib import Path

import polars as pl
import pytest
import yaml

from limo_ablate.report.declared.charts import efficiency_chart, note
from limo_ablate.report.declared.literature import literature, published, section
from limo_ablate.report.figure_data import FigureData
from limo_ablate.report.study_view import StudyView, load
from tests.made_study import Making

FIXED = ["select.difficulty=hard", "select.quality=L5"]
SIZES = {
    "name": "size",
    "axes": {"select.size": [0, 100, 200, 400, 800]},
    "overrides": ["model=qwen2_5_32b", *FIXED],
}
MODELS = {"name": "model", "axes": {"model": ["qwen2_5_3b", "qwen2_5_7b", "qwen2_5_32b"], "select.size": [800]}, "overrides": FIXED}  # noqa: E501 # fmt: skip
FIGURES = [
    {"title": "AIME24 by training examples (made data)", "block": "size", "x": "select.size", "line": "model", "score": "aime24"},  # noqa: E501
    {"title": "MATH500 by training examples (made data)", "block": "size", "x": "select.size", "line": "model", "score": "math500"},  # noqa: E501
    {"title": "AIME24 by model (made data)", "block": "model", "x": "model", "line": "select.size", "score": "aime24"},  # noqa: E501
    {"title": "Another benchmark", "block": "size", "x": "select.size", "line": "model", "score": "mini"},
]  # fmt: skip


def planted(asked: dict[str, object]) -> float:
    size = float(asked["select.size"] or 0)  # type: ignore[arg-type]
    top = {"qwen2_5_3b": 0.05, "qwen2_5_7b": 0.2, "qwen2_5_32b": 0.45}[str(asked["model"])]
    return 0.12 + top * size / (size + 150)


def published_study(folder: Path) -> Path:
    """A made study whose benchmark also stands under the names of public ones."""
    Making(folder, blocks=[SIZES, MODELS], figures=FIGURES, accuracy=planted).write()
    for trial in folder.glob("trials/*"):
        config = yaml.safe_load((trial / "config.yaml").read_text())
        made = config["eval"]["benchmarks"]["mini"]
        config["eval"]["benchmarks"] = {name: deepcopy(made) for name in ("aime24", "math500", "mini")}
        (trial / "config.yaml").write_text(yaml.safe_dump(config))
        metrics = json.loads((trial / "metrics.json").read_text())
        scores = metrics["scores"]
        metrics["scores"] = {"aime24": scores["mini"], "math500": scores["mini"], **scores}
        (trial / "metrics.json").write_text(json.dumps(metrics))
        verdicts = pl.read_parquet(trial / "verdicts.parquet")
        named = [verdicts.with_columns(benchmark=pl.lit(name)) for name in ("aime24", "math500", "mini")]
        pl.concat(named).write_parquet(trial / "verdicts.parquet")
    return folder


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> StudyView:
    return load(published_study(tmp_path_factory.mktemp("study")))


def data(view: StudyView, place: int) -> FigureData:
    (found,) = view.data(view.figures[place])
    return found


def test_sizes_stand_where_the_paper_has_them(view: StudyView) -> None:
    found = published(data(view, 0))
    assert dict(found.select("x", "mean").iter_rows()) == {400: 0.575, 800: 0.633, 1200: 0.642, 2000: 0.696}
    assert published(data(view, 1))["mean"].to_list() == [0.948, 0.956, 0.954, 0.958]


def test_the_axis_reaches_as_far_as_the_papers_points(view: StudyView) -> None:
    chart = efficiency_chart(data(view, 0)).to_dict()
    low, high = chart["layer"][-1]["encoding"]["x"]["scale"]["domain"]
    assert low < 100 < 2000 < high
    names = {row["line"] for rows in chart["datasets"].values() for row in rows if "label_y" in row}
    assert names == {"qwen2_5_32b", "LIMO v3"}


def test_models_are_matched_by_name_and_only_those_of_the_figure(view: StudyView) -> None:
    found = published(data(view, 2))
    assert dict(found.select("x", "mean").iter_rows()) == {"qwen2_5_3b": 0.025, "qwen2_5_32b": 0.633}
    assert "published results" in note(data(view, 2))
    assert "2502.03387" in note(data(view, 2))


def test_another_benchmark_has_no_overlay(view: StudyView) -> None:
    assert published(data(view, 3)).is_empty()
    assert "published" not in note(data(view, 3))
    assert "source" not in json.dumps(efficiency_chart(data(view, 3)).to_dict()["layer"])


def test_the_section_lists_only_what_is_known_of_the_studys_benchmarks(view: StudyView) -> None:
    found = section(view)
    assert found
    assert found.table
    assert found.table.header == ["table", "result", "AIME24", "MATH500", "source"]
    rows = {row[1]: row for row in found.table.rows}
    assert rows["2,000 rows"][2:4] == ["69.6", "95.8"]
    assert rows["Qwen2.5-3B-Instruct"][2:4] == ["2.5", "–"]
    assert any("pass@n" in text for text in found.text)


def test_a_study_of_none_of_their_benchmarks_has_no_section(tmp_path: Path) -> None:
    assert section(load(Making(tmp_path, seeds=[0]).write())) is None


def test_every_number_is_of_a_known_benchmark_with_a_source() -> None:
    papers = literature()
    for table in papers.tables:
        assert table["source"].startswith("arXiv ")
        for point in table["points"]:
            numbers = {key: value for key, value in point.items() if key not in ("level", "label")}
            assert set(numbers) <= set(papers.benchmarks)
            assert numbers
            assert all(0 < value < 100 for value in numbers.values())
