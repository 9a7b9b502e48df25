"""What `limo-ablate view` knows of many studies: one that is broken, slow or away stops no other."""

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from limo_ablate.cli import main
from limo_ablate.core.errors import UserError
from limo_ablate.report.serve import report_process, study_reader, study_watcher
from limo_ablate.report.serve.hub import Hub
from limo_ablate.report.serve.report_process import ReportProcess
from limo_ablate.report.serve.study_reader import StudyReader
from limo_ablate.study.design import load_study
from limo_ablate.study.planned import planned_trials
from limo_ablate.sweep.ledger.ledger import LEDGER, Ledger
from limo_ablate.sweep.ledger.reader import LedgerReader
from tests.ledgers import METRICS, add
from tests.small_study import change, small
from tests.waiting import PATIENCE


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a ledger in which one of its eight trials has finished."""
    folder = small(tmp_path_factory.mktemp("hub") / "made", tmp_path_factory.mktemp("store"))
    finish(folder, 0)
    return folder


def finish(folder: Path, number: int) -> None:
    """One of its trials."""
    cell, ledger = (
        planned_trials(load_study(str(folder / "study.yaml")))[number],
        Ledger(folder / LEDGER, "made"),
    )
    (trial,) = add(ledger, [cell])
    assert ledger.claim(trial, "runner")
    place = folder / "trials" / cell.folder
    place.mkdir(parents=True)
    (place / "metrics.json").write_text(json.dumps(METRICS | {"trial": cell.key}))
    assert ledger.finish(trial, METRICS, place)


@pytest.fixture
def studies(made: Path, tmp_path: Path) -> list[Path]:
    """Three of them."""
    return [Path(shutil.copytree(made, tmp_path / name)) for name in ("a", "b", "c")]


@contextmanager
def hub(folders: Callable[[], list[Path]]) -> Iterator[Hub]:
    with Hub(folders, pace=0.05, every=0.5) as opened:
        yield opened


def until(told: Callable[[], Any], condition: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not condition(found := told()):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def named(told: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {study["study"]: study for study in told}


def finished(study: dict[str, Any]) -> bool:
    return study.get("finished_trials") == 1 and "error" not in study


def test_a_study_that_is_broken_says_why_and_is_read_again(studies: list[Path]) -> None:
    broken = studies[0] / "study.yaml"
    text = broken.read_text()
    broken.unlink()
    broken.symlink_to(broken)  # any error of the operating system
    with hub(lambda: studies) as opened:
        told = until(
            lambda: named(opened.studies()), lambda told: finished(told["b"]) and finished(told["c"])
        )
        assert told["a"]["error"].startswith("OSError: ")
        broken.unlink()
        broken.write_text(text)
        until(lambda: opened.study("a"), finished)


def test_an_error_after_a_good_look_stands_beside_what_was_seen(studies: list[Path]) -> None:
    with hub(lambda: studies[:1]) as opened:
        until(lambda: opened.study("a"), finished)
        (studies[0] / "study.yaml").unlink()
        told = until(lambda: opened.study("a"), lambda told: "error" in told)
        assert told["error"].startswith("FileNotFoundError: ")
        assert told["finished_trials"] == 1


def test_a_report_that_can_not_be_begun_says_why(studies: list[Path]) -> None:
    opened = Hub(lambda: studies[:1], pace=0.05, every=0.5)
    opened._scratch.rmdir()
    opened._scratch.write_text("")  # as a disk that is full
    with opened:
        told = until(lambda: opened.study("a"), lambda told: told["report"]["error"])
        assert told["report"]["error"].startswith("the report could not be drawn: ")
        assert finished(told)
    opened._scratch.unlink()


def test_studies_that_can_not_be_listed_are_listed_later(studies: list[Path]) -> None:
    away = True

    def folders() -> list[Path]:
        if away:
            raise OSError("Stale file handle")
        return studies

    with hub(folders) as opened:
        with pytest.raises(UserError, match="can't be listed: Stale file handle"):
            opened.studies()
        away = False
        until(lambda: opened.study("a"), bool)
        until(lambda: named(opened.studies()), lambda told: len(told) == 3 and finished(told["c"]))


def test_a_study_whose_folder_hangs_holds_up_no_other(
    studies: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_watcher, "SLOW", 0.5)
    stuck, released, state = threading.Event(), threading.Event(), StudyReader.state

    def waits(reader: StudyReader) -> tuple[Any, ...]:
        if reader.folder == studies[0] and stuck.is_set():
            released.wait()
        return state(reader)

    monkeypatch.setattr(StudyReader, "state", waits)
    with hub(lambda: studies) as opened:
        until(lambda: named(opened.studies()), lambda told: all(map(finished, told.values())))
        stuck.set()
        told = until(lambda: opened.study("a"), lambda told: "error" in told)
        assert "reading the study is slow" in told["error"]
        finish(studies[1], 1)
        until(lambda: opened.study("b"), lambda told: told["finished_trials"] == 2)
        assert "reading the study is slow" in named(opened.studies())["a"]["error"]
        assert "reading the study is slow" in (opened.study("a") or {})["error"]
        released.set()


def test_a_ledger_that_is_away_holds_up_no_other_study(
    studies: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("grpc", reason="limo-ablate[grpc] is not installed")
    change(studies[0] / "study.yaml", lambda study: study.update(ledger="grpc://127.0.0.1:9"))
    monkeypatch.setattr(study_reader, "PATIENCE", PATIENCE)
    with hub(lambda: studies) as opened:
        told = until(
            lambda: named(opened.studies()), lambda told: all(map(finished, list(told.values())[1:]))
        )
        assert told["a"]["error"] == study_watcher.UNREAD
        assert named(opened.studies())["a"]["error"] == study_watcher.UNREAD, "nobody waits for it"


def test_a_ledger_that_is_away_is_told_and_asked_less_often(
    studies: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("grpc", reason="limo-ablate[grpc] is not installed")
    change(studies[0] / "study.yaml", lambda study: study.update(ledger="grpc://127.0.0.1:9"))
    monkeypatch.setattr(study_reader, "PATIENCE", 0.01)
    with hub(lambda: studies[:1]) as opened:
        told = until(lambda: opened.study("a"), lambda told: told["error"] != study_watcher.UNREAD)
        assert told["error"].startswith("ledger=grpc://127.0.0.1:9: can't be opened")
        looks = set()
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            looks.add(opened._watched["a"].looked)
            time.sleep(0.01)
        assert len(looks) <= 6  # 0.1, 0.2, 0.4, 0.8 s apart


def test_who_waits_for_a_ledger_may_be_impatient() -> None:
    pytest.importorskip("grpc", reason="limo-ablate[grpc] is not installed")
    with pytest.raises(UserError, match="can't be opened"):
        LedgerReader("grpc://127.0.0.1:9", "made", patience=0.2).rows()


def test_one_report_is_drawn_at_a_time_and_only_where_somebody_looks(
    studies: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, int, subprocess.Popen[bytes]]] = []
    """What was drawn, how many drawings went on then, with it, and its process."""

    def draw(command: list[str], **settings: Any) -> subprocess.Popen[bytes]:
        going_on = sum(process.poll() is None for *_, process in begun)
        process = subprocess.Popen(["sleep", "0.2"], **settings)
        begun.append((Path(command[-3]).name, going_on + 1, process))
        return process

    monkeypatch.setattr(report_process, "subprocess", SimpleNamespace(Popen=draw, DEVNULL=subprocess.DEVNULL))
    with hub(lambda: studies) as opened:
        until(lambda: named(opened.studies()), lambda told: all(map(finished, told.values())))
        time.sleep(0.5)
        assert not begun
        until(lambda: (opened.study("a"), opened.study("b")), lambda _: len(begun) == 2)
        assert opened._watched["c"].report.begun == float("-inf")
    assert {name for name, *_ in begun} == {"a", "b"}
    assert [going_on for _, going_on, _ in begun] == [1, 1]


def test_a_drawing_that_was_killed_is_tried_again_but_not_at_once(made: Path, tmp_path: Path) -> None:
    report = ReportProcess(made, tmp_path / "scratch", every=0.4)
    report.poll(finished=1)
    assert report._process is not None
    report._process.kill()
    report._process.wait()
    report.poll(finished=1)
    killed = time.monotonic()
    assert report.error == "the report could not be drawn: exit code -9"
    until(lambda: report.poll(finished=1), lambda _: report.drawing)
    assert time.monotonic() - killed >= 0.75
    assert report.error is not None  # until one goes well
    report.end()


def test_a_study_without_a_ledger_is_read_and_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = small(tmp_path / "made", tmp_path / "store")
    before = sorted(folder.rglob("*"))
    assert StudyReader(folder).facts()["waiting_trials"] == 8
    assert main(["status", str(folder)]) == 0
    assert "made: 8 trials (4 cells): 8 waiting" in capsys.readouterr().out
    assert sorted(folder.rglob("*")) == before


def test_a_copy_that_nobody_may_write_is_read(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "archived"))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    facts = StudyReader(folder).facts()
    assert (facts["finished_trials"], len(facts["results"])) == (1, 1)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    folder.chmod(0o755)


def test_reading_makes_no_database(tmp_path: Path) -> None:
    assert LedgerReader(f"sqlite:///{tmp_path}/ledger.db", "made").rows() == []
    assert LedgerReader(tmp_path / LEDGER, "made").rows() == []
    assert list(tmp_path.iterdir()) == []
    sqlite3.connect(tmp_path / "photos.db").close()
    with pytest.raises(UserError, match="can't be opened"):
        LedgerReader(f"sqlite:///{tmp_path}/photos.db", "made", 0.1).rows()
    assert (tmp_path / "photos.db").stat().st_size == 0
    (tmp_path / LEDGER).touch()
    assert LedgerReader(tmp_path / LEDGER, "made").rows() == []
    assert (tmp_path / LEDGER).stat().st_size == 0


def test_studies_composed_side_by_side_get_their_own_cells(studies: list[Path]) -> None:
    """Hydra has one state for all threads."""
    found: list[StudyReader | Exception] = []

    def load(folder: Path) -> None:
        try:
            found.append(StudyReader(folder))
        except Exception as error:
            found.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=load, args=(folder,)) for folder in studies * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)
    assert [one.facts()["trials"] for one in found if isinstance(one, StudyReader)] == [8] * 9


def test_a_drawing_that_takes_too_long_lets_others_draw(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_process, "LIMIT", 0.2)
    report = ReportProcess(made, tmp_path / "scratch", every=60)
    report.poll(finished=1)
    assert report.drawing
    time.sleep(0.2)
    report.poll(finished=1)
    assert not report.drawing
    assert report.error == "the report could not be drawn: it took longer than 0.2 s"
