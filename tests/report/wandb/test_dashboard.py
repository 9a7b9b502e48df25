"""`limo-ablate dashboard`: its panels name what runs log, and its numbers are the report's."""

import html
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.cli import main
from limo_ablate.report.labels import percent, plus_minus
from limo_ablate.report.wandb.publish import Published
from limo_ablate.trial.compose import compose
from limo_ablate.trial.identity import TrialLabels
from limo_ablate.trial.track.names import logged
from limo_ablate.trial.track.tracker import open_tracker
from tests.made_study import Making
from tests.report.wandb.panel_keys import Keys, keys_of
from tests.trial.track.made_trial import made, metrics_of
from tests.trial.track.offline_run import OfflineRun, read_run

BLOCK = {
    "name": "size x quality",
    "axes": {"select.size": [4, 16, 64], "select.quality": ["L3", "L4"]},
    "overrides": ["model=mini_m", "select.difficulty=any"],
}
FIGURE = {"title": "Size, and tier", "block": BLOCK["name"], "x": "select.size", "line": "select.quality", "score": "mini"}  # noqa: E501 # fmt: skip
CONTRAST = {"name": "L4 against <b>L3</b>", "block": BLOCK["name"], "factor": "select.quality", "a": "L3", "b": "L4", "score": "mini"}  # noqa: E501 # fmt: skip


def make_study(folder: Path) -> Path:
    """A small study with a figure, a contrast, and a failed trial."""
    return Making(
        folder, blocks=[BLOCK], figures=[FIGURE], contrasts=[CONTRAST], seeds=(0, 1, 2), problems=30,
        failing=lambda asked, seed: asked["select.size"] == 16 and seed == 1,
    ).write()  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Its dashboard is made offline."""
    base = tmp_path_factory.mktemp("dashboard")
    folder = make_study(base / "made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(base))
        patch.setenv("WANDB_MODE", "offline")
        assert main(["dashboard", str(folder)]) == 0
        yield folder


@pytest.fixture(scope="module")
def summary(study: Path) -> OfflineRun:
    return read_run(study)


@pytest.fixture(scope="module")
def page(study: Path) -> list[list[str]]:
    """The cells of each row of each table of the report."""
    rows = re.findall(r"<tr.*?</tr>", (study / "report" / "index.html").read_text(), re.S)
    return [[_text(cell) for cell in re.findall(r"<t[dh].*?</t[dh]>", row, re.S)] for row in rows]


def _text(cell: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", cell)).strip()


def specification(study: Path, name: str) -> Any:
    return json.loads((study / "dashboard" / f"{name}.json").read_text())


def table(run: OfflineRun, key: str) -> pl.DataFrame:
    found = run.table(key)
    return pl.DataFrame(found["data"], schema=found["columns"], orient="row", infer_schema_length=None)


@pytest.fixture(scope="module")
def trial(study: Path, tmp_path_factory: pytest.TempPathFactory) -> OfflineRun:
    """A trial of the study, tracked."""
    folder = next(
        place for place in sorted((study / "trials").iterdir()) if (place / "metrics.json").exists()
    )
    metrics = metrics_of(folder)
    cell = metrics["cell"]
    config = compose([f"{key}={value}" for key, value in cell.items()] + ["track=wandb"])
    tracker = open_tracker(config, TrialLabels(study="made", cell=cell, name="x"), folder)
    for row in pl.read_parquet(folder / "curve.parquet").iter_rows(named=True):
        tracker.step(row)
    tracker.finish(metrics, folder, made(tmp_path_factory.mktemp("store")))
    return read_run(folder)


def test_the_summary_run_is_one_of_the_study(summary: OfflineRun) -> None:
    assert (summary.group, summary.project, summary.exit_code) == ("made", "limo-ablate", 0)


@pytest.mark.parametrize("name", ["workspace", "report"])
def test_panels_name_only_what_runs_log(
    name: str, study: Path, summary: OfflineRun, trial: OfflineRun
) -> None:
    keys: Keys = keys_of(specification(study, name))
    assert keys.groups == {"made"}
    assert {"train_size", "quality_tier"} <= keys.config <= trial.config.keys()
    known = {key.removesuffix("._type") for run in (trial, summary) for row in run.history for key in row}
    assert keys.logged <= known, keys.logged - known
    assert {
        "eval/mini/accuracy",
        "train_size",
        "train/loss",
        "cells",
        "contrasts",
        "completions",
    } <= keys.logged


def test_a_line_has_its_x_in_the_row_of_its_y(trial: OfflineRun) -> None:
    (row,) = [row for row in trial.history if "eval/mini/accuracy" in row]
    assert row["train_size"] == trial.config["train_size"]


def test_the_trials_errors_are_in_its_summary(study: Path, trial: OfflineRun) -> None:
    (row,) = [row for row in trial.history if "eval/mini/accuracy" in row]
    assert row["eval/mini/stderr"] > 0


def test_cells_have_the_reports_numbers(summary: OfflineRun, page: list[list[str]]) -> None:
    cells = table(summary, "cells").filter(pl.col("score") == "mini")
    assert cells.height == 6
    for row in cells.iter_rows(named=True):
        shown = {row["quality_tier"], str(row["train_size"]), plus_minus(row["mean"], row["stderr"])}
        interval = f"{percent(row['low'])} to {percent(row['high'])}"
        assert [line for line in page if shown | {interval} <= {*line}], row


def test_contrasts_have_the_reports_numbers(summary: OfflineRun, page: list[list[str]]) -> None:
    (row,) = table(summary, "contrasts").iter_rows(named=True)
    low, high = (f"{'+' if row[end] > 0 else ''}{percent(row[end])}" for end in ("low", "high"))
    (line,) = [line for line in page if line and line[0].startswith(row["contrast"])]
    assert {f"+{percent(row['effect'])}", f"[{low}, {high}]"} <= {*line}
    assert [cell for cell in line if cell.startswith(row["conclusion"])]


def test_curves_have_the_reports_numbers(summary: OfflineRun, page: list[list[str]]) -> None:
    points, curve = table(summary, "points/size_and_tier"), table(summary, "curve/size_and_tier")
    for row in points.iter_rows(named=True):
        accuracy = plus_minus(row["mean"], row["stderr"])
        assert [line for line in page if {row["quality_tier"], accuracy} <= {*line}], row
    assert (curve["low"] <= curve["accuracy"]).all()
    assert {*curve["quality_tier"]} == {"L3", "L4"}
    ends = curve.group_by("quality_tier").agg(pl.col("train_size").min(), pl.col("accuracy").first())
    assert ends["train_size"].round(6).to_list() == [4, 4]


def test_pictures_and_page_are_the_reports_own_files(study: Path, summary: OfflineRun) -> None:
    rows = {key: value for row in summary.history for key, value in row.items()}
    pictures = {
        key: value for key, value in rows.items() if key.startswith("picture/") and key.endswith(".path")
    }
    files = {(summary.folder / "files" / path).read_bytes() for path in pictures.values()}
    assert files == {path.read_bytes() for path in (study / "report").glob("*.png")}
    assert (summary.folder / "files" / rows["report.path"]).read_text() == (
        study / "report/index.html"
    ).read_text()


def test_failures_are_told(summary: OfflineRun) -> None:
    assert table(summary, "failed")["reason"].to_list() == ["RuntimeError: out of memory"] * 2


def test_a_report_says_what_came_out(study: Path) -> None:
    text = json.dumps(specification(study, "report"), ensure_ascii=False)
    assert "How many, how good, how hard?" in text
    assert "L4 against <b>L3</b>: +" in text


def test_a_second_call_writes_the_same_bytes_and_replaces_the_run(
    study: Path, summary: OfflineRun, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in (study / "dashboard").iterdir()}
    random.seed(1)
    state = random.getstate()
    assert main(["dashboard", str(study), "--offline"]) == 0
    assert random.getstate() == state
    assert {path.name: path.read_bytes() for path in (study / "dashboard").iterdir()} == before
    assert read_run(study).folder.name.split("-")[-1] == summary.folder.name.split("-")[-1]
    *_, said = capsys.readouterr().out.splitlines()
    assert said.startswith("not published (track.mode=offline): `wandb login`, then ")


def test_names_are_what_wandb_can_sort_by() -> None:
    assert logged("eval/math-500/level 1.5/pass@4_stderr") == "eval/math_500/level_1_5/pass_at_4_stderr"


def test_each_project_that_it_was_sent_to_is_remembered(tmp_path: Path) -> None:
    for project in ("a", "b"):
        assert Published.at(tmp_path, "server", "me", project).workspace == ("", "")
        Published("server", "me", project, ("name", f"id-{project}"), f"report-{project}").write(tmp_path)
    assert Published.at(tmp_path, "server", "me", "a").report == "report-a"
    Published("server", "me", "a", ("name", "id-a"), "another").write(tmp_path)
    assert [Published.at(tmp_path, "server", "me", name).report for name in "ab"] == ["another", "report-b"]
