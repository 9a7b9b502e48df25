"""A trial's W&B run, read back from disk; and what happens when W&B does not work."""

import json
import logging
import os
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.report.wandb.sync import Unsent
from limo_ablate.trial.compose import compose
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import TrialLabels, trial_key
from limo_ablate.trial.track.tracker import NoTracker, open_tracker
from tests.made_study import curve
from tests.trial.track.made_trial import made, make_trial, metrics_of
from tests.trial.track.offline_run import OfflineRun, read_run
from tests.wandb_standin import serve

CELL: dict[str, object] = {"select.size": 64, "select.quality": "L5", "paths.studies": "elsewhere", "seed": 3}
LABELS = TrialLabels(study="made", cell=CELL, name="size64-L5-s3")
CURVE = curve(8, 0)


@pytest.fixture
def config() -> TrialConfig:
    return compose(["select.size=64", "select.quality=L5", "seed=3", "track=wandb"])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home and a current folder of its own, so that what is left in them is seen."""
    for name in ("home", "cwd"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_trial(tmp_path / "study")


@pytest.fixture
def run(config: TrialConfig, folder: Path, tmp_path: Path) -> OfflineRun:
    tracker = open_tracker(config, LABELS, folder)
    for row in CURVE.iter_rows(named=True):
        tracker.step(row)
    tracker.finish(metrics_of(folder), folder, made(tmp_path))
    return read_run(folder)


def children() -> list[str]:
    names = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if int(rest.split()[1]) == os.getpid():
            names.append(name)
    return names


def said(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name.startswith("limo_ablate.trial.track.")]


def test_the_run_is_found_by_study_cell_and_seed(run: OfflineRun) -> None:
    assert (run.project, run.group, run.name) == ("limo-ablate", "made", "size64-L5-s3")
    assert set(run.tags) == {"seed=3", "select.size=64", "select.quality=L5"}
    assert run.exit_code == 0


def test_the_config_is_flat_and_whole(run: OfflineRun, folder: Path) -> None:
    factors = metrics_of(folder)["factors"]
    assert {"train_size", "quality_tier", "parameters"} <= factors.keys()
    assert factors.items() <= run.config.items()
    assert run.config["seed"] == 3
    assert run.config["resolved"]["train"]["seed"] == 3
    assert run.config["provenance"]["git"]["commit"] == "0123456789abcdef"


def test_the_curve_and_the_metrics_are_there(run: OfflineRun, folder: Path) -> None:
    steps = [row for row in run.history if "train/loss" in row]
    assert [row["train/loss"] for row in steps] == CURVE["loss"].to_list()
    assert [row["train/step"] for row in steps] == [row["_step"] for row in steps] == CURVE["step"].to_list()
    scores = metrics_of(folder)["scores"]
    last = run.history[-1]
    assert last["eval/mini/accuracy"] == scores["mini"]["accuracy"]
    assert last["eval/mini/hard/truncated"] == scores["mini/hard"]["truncated"]
    assert last["seconds/total"] == 3.5


def test_the_table_shows_completions_with_their_verdicts(run: OfflineRun, folder: Path) -> None:
    table = run.table("completions")
    rows = pl.DataFrame(table["data"], schema=table["columns"], orient="row")
    verdicts = pl.read_parquet(folder / "verdicts.parquet")
    assert rows["problem"].to_list() == verdicts["problem"].to_list()
    assert rows["status"].to_list() == verdicts["status"].to_list()
    assert "\\boxed" in rows["completion"][0]


def test_wandb_s_own_variables_hold_unless_an_override_says_otherwise(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = compose(["seed=3"])
    values = {"PROJECT": "theirs", "ENTITY": "lab", "NAME": "mine", "TAGS": "a, b,a", "DIR": "elsewhere"}
    for name, value in values.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    config = compose(["seed=3", "track.project=given", "track.entity=null"])
    assert trial_key(config) == trial_key(plain)
    assert (config.track.project, config.track.entity, config.track.name) == ("given", None, "mine")
    assert compose([]).track.entity == "lab"
    for _ in range(2):  # resumed: the run takes the place of the first one
        open_tracker(config, LABELS, folder).finish(metrics_of(folder), folder, {})
    assert not list((folder / "wandb").glob("*run-*"))
    (place,) = Unsent(folder, config.track.dir).offline
    assert place.parent == tmp_path / "cwd" / "elsewhere" / "wandb"
    run = read_run(place.parents[1])
    assert (run.project, run.name) == ("given", "mine-size64-L5-s3")
    assert {"a", "b", "seed=3"} < set(run.tags)
    alone = replace(LABELS, study=None)
    open_tracker(compose(["track.tags=[x]", "track.dir=null"]), alone, folder).fail("")
    run = read_run(folder)
    assert (run.project, run.name) == ("theirs", "mine")
    assert "x" in run.tags


def test_artifacts_carry_key_digest_and_lineage(run: OfflineRun, tmp_path: Path) -> None:
    assert {"pool", "benchmark-mini", "weights"} <= run.artifacts.keys()
    pool, weights = (made(tmp_path)[stage] for stage in ("pool", "weights"))
    record = run.artifacts["weights"]
    described = json.loads(record.metadata)
    assert record.type == "weights"
    assert (described["key"], described["digest"]) == (weights.key, weights.digest)
    assert described["inputs"]["pool"]["digest"] == pool.digest
    files = {entry.path: entry for entry in record.manifest.contents}
    assert files["config.json"].local_path == str(weights.path / "config.json")
    assert files["model.safetensors"].ref == (weights.path / "model.safetensors").as_uri()


@pytest.mark.usefixtures("run")
def test_nothing_stays_behind_or_goes_elsewhere(tmp_path: Path) -> None:
    assert "wandb-core" not in children()
    assert list((tmp_path / "cwd").iterdir()) == []
    assert [p for p in (tmp_path / "home").rglob("*") if p.is_file()] == []
    assert not {"WANDB_SERVICE", "WANDB_DATA_DIR"} & os.environ.keys()


def test_a_failed_trial_is_a_failed_run(config: TrialConfig, folder: Path) -> None:
    tracker = open_tracker(config, LABELS, folder)
    tracker.step(CURVE.row(0, named=True))
    tracker.fail("RuntimeError: out of memory")
    run = read_run(folder)
    assert run.exit_code == 1
    assert run.summary["failure"] == "RuntimeError: out of memory"
    assert len(run.history) == 1


def test_what_fails_in_wandb_is_said_once_and_nothing_else(
    config: TrialConfig,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    online = replace(config, track=replace(config.track, mode="online"))  # without a key: W&B refuses
    with serve() as server, caplog.at_level(logging.WARNING, logger="limo_ablate.trial.track"):
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        tracker = open_tracker(online, LABELS, folder)
        for row in CURVE.iter_rows(named=True):
            tracker.step(row)
        tracker.finish(metrics_of(folder), folder, made(tmp_path))
    (record,) = said(caplog)
    assert "the run is recorded offline" in record.message
    assert "API key" in record.message
    assert read_run(folder).config["train_size"] == 64
    assert "wandb-core" not in children()


def test_a_missing_file_does_not_fail_the_trial(
    config: TrialConfig, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "verdicts.parquet").unlink()
    tracker = open_tracker(config, LABELS, folder)
    tracker.finish(metrics_of(folder), folder, {})
    assert len(said(caplog)) == 1
    assert "the trial continues without it" in caplog.text
    run = read_run(folder)
    assert run.config["train_size"] == 64
    assert run.exit_code == 0


@pytest.mark.parametrize("override", ["track=none", "track.mode=disabled"])
def test_no_tracker_on_request(override: str, folder: Path) -> None:
    tracker = open_tracker(compose([override]), LABELS, folder)
    assert isinstance(tracker, NoTracker)
    assert not (folder / "wandb").exists()
