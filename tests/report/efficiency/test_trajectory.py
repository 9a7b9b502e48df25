import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from limo_ablate.analysis.trajectory import choice, trajectory_items
from limo_ablate.analysis.trials import load_trials
from limo_ablate.core.artifacts import digest_file
from limo_ablate.report.efficiency.trajectory import section
from limo_ablate.report.study_view import load
from tests.made_study import SIZE_MODEL, Making

SCORES = ["mini", "mini/easy", "mini/hard", "mini/medium"]


def with_trajectory(folder: Path, skills: dict[int, float]) -> Path:
    """A made study whose trainings were scored at `skills`: epoch -> true accuracy, the last as it is."""
    Making(folder, blocks=[SIZE_MODEL], figures=[]).write()
    rng = np.random.default_rng(3)
    for trial in load_trials(folder):
        path = trial.folder / "metrics.json"
        metrics = json.loads(path.read_text())
        if not metrics["train"]:
            continue
        verdicts = pl.read_parquet(trial.folder / "verdicts.parquet")
        tables, points = [], []
        for epoch, skill in skills.items():
            status = np.where(rng.random(verdicts.height) < skill, "correct", "incorrect")
            tables.append(verdicts.with_columns(status=pl.Series(status), step=pl.lit(4 * epoch, pl.Int64)))
            points.append({"step": 4 * epoch, "epoch": float(epoch), "tokens": 1000 * epoch, "scores": {}})
        pl.concat(tables).write_parquet(trial.folder / "trajectory.parquet")
        digest = digest_file(trial.folder / "trajectory.parquet")
        path.write_text(json.dumps(metrics | {"trajectory": {"points": points, "verdicts": digest}}))
    return folder


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_trajectory(tmp_path_factory.mktemp("flat"), {1: 0.5, 2: 0.5, 4: 0.5, 8: 0.5, 15: 0.5})


def test_where_points_do_not_differ_all_of_the_best_is_optimism(flat: Path) -> None:
    rows = trajectory_items(load_trials(flat))
    assert rows.select("trial", "step").unique().height == 18 * 5, "of 6 trained cells x 3 seeds"
    found = choice(rows).filter(pl.col("score") == "mini").row(0, named=True)
    assert found["trials"] == 18
    assert 0.04 < found["optimism"] < 0.11, "the mean of the largest of 5 with an error of 0.065 each"
    assert found["optimism_low"] > 0
    assert found["cross_fitted"] == pytest.approx(0.5, abs=0.02)
    assert found["cross_fitted_gain_low"] < 0 < found["cross_fitted_gain_high"]
    gained = found["cross_fitted_gain"] + found["optimism"]
    assert found["best_gain"] == pytest.approx(gained)
    assert choice(rows)["score"].to_list() == SCORES


def test_a_better_point_is_no_optimism(tmp_path: Path) -> None:
    rows = trajectory_items(load_trials(with_trajectory(tmp_path, {1: 0.1, 4: 0.9, 15: 0.3})))
    found = choice(rows).row(0, named=True)
    assert found["optimism"] == pytest.approx(0, abs=1e-9)
    assert found["cross_fitted_gain"] == found["best_gain"] == pytest.approx(0.6, abs=0.03)


def test_the_report_shows_epochs_and_the_choice(flat: Path) -> None:
    view = load(flat)
    drawn = section(view)
    assert drawn is not None
    assert [chart.id for chart in drawn.charts] == ["trajectory-epoch", "trajectory-tokens"]
    assert "an optimism of +" in drawn.charts[0].finding
    assert "How often each point is the best: 1 epochs" in drawn.charts[0].finding
    assert drawn.charts[0].table is not None
    assert len(drawn.charts[0].table.rows) == 6 * 5
    assert drawn.table is not None
    assert [row[0] for row in drawn.table.rows] == SCORES


def test_points_that_are_of_some_trainings_only_are_told(flat: Path) -> None:
    view = load(flat)
    drawn = section(view)
    assert drawn
    assert "different points" not in drawn.charts[0].note
    fewer = load(flat)
    for trial in fewer.trials[:6]:
        if trajectory := (trial.metrics or {}).get("trajectory"):
            trajectory["points"] = trajectory["points"][1:]
    drawn = section(fewer)
    assert drawn
    assert "The trainings of a line have different points" in drawn.charts[0].note


def test_a_study_without_trajectories_has_no_such_section(tmp_path: Path) -> None:
    assert section(load(Making(tmp_path, blocks=[SIZE_MODEL], figures=[]).write())) is None


def test_an_edited_trajectory_is_noticed(tmp_path: Path) -> None:
    folder = with_trajectory(tmp_path, {1: 0.5, 15: 0.5})
    trial = next(trial for trial in load_trials(folder) if (trial.metrics or {})["train"])
    path = trial.folder / "trajectory.parquet"
    pl.read_parquet(path).with_columns(status=pl.lit("correct")).write_parquet(path)
    (changed,) = [own for own in load_trials(folder) if own.name == trial.name]
    assert changed.stale == (f"{path} is not as its trial wrote it",)
