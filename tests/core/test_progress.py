import json
import time
from pathlib import Path

import pytest

from limo_ablate.core import progress
from limo_ablate.core.progress import PROGRESS, PROGRESS_VARIABLE, keep_alive, read_progress, report_progress


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(PROGRESS_VARIABLE, str(tmp_path / PROGRESS))
    monkeypatch.setattr(progress, "_last", None)
    monkeypatch.setattr(progress, "_touched", 0.0)
    return tmp_path


def test_a_new_stage_is_written_at_once_and_its_progress_once_a_second(folder: Path) -> None:
    report_progress("pool")
    assert str(read_progress(folder)) == "pool"
    report_progress("weights")
    report_progress("weights", 1, 100, 50.0)
    assert str(read_progress(folder)) == "weights", "a second has not passed"
    report_progress("weights", 100, 100, 50.0)
    assert str(read_progress(folder)) == "weights at 100 of 100 steps"
    assert [path.name for path in folder.iterdir()] == [PROGRESS]


def test_time_left_is_estimated_from_this_attempt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for now, done in ((100.0, 40), (110.0, 60), (120.0, 80)):
        monkeypatch.setattr("limo_ablate.core.progress.time.time", lambda now=now: now)
        report_progress("weights", done, 100)
    last = read_progress(folder)
    assert last is not None
    assert last.begun == 40
    assert last.left == pytest.approx(10.0)


def test_keep_alive_changes_only_the_modification_time(folder: Path) -> None:
    report_progress("completions", 1, 10)
    before = (folder / PROGRESS).stat().st_mtime_ns
    content = (folder / PROGRESS).read_text()
    time.sleep(0.02)
    keep_alive()
    assert (folder / PROGRESS).stat().st_mtime_ns > before
    assert (folder / PROGRESS).read_text() == content


def test_without_a_sweep_progress_is_logged_and_nothing_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(PROGRESS_VARIABLE)
    caplog.set_level("INFO")
    for now, stage, done in ((0, "pool", None), (1, "base", 0), (3, "base", 10), (7, "base", 50)):
        monkeypatch.setattr("limo_ablate.core.progress.time.time", lambda now=now: float(now))
        report_progress(stage, done, 100)
    keep_alive()
    assert caplog.messages == [
        "stage pool",
        "base at 0 of 100 tokens",
        "base at 50 of 100 tokens, about 6 s left",
    ]
    assert read_progress(folder) is None


def test_an_incomplete_file_is_ignored(folder: Path) -> None:
    (folder / PROGRESS).write_text(json.dumps({"stage": "x"}))
    assert read_progress(folder) is None
