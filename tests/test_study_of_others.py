"""A study's folder from others overwrites no file of the reader, and shows none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from optuna.trial import TrialState, create_trial

from limo_ablate.analysis.trials import load_trials, resolved
from limo_ablate.cli import main
from limo_ablate.core.errors import UserError
from limo_ablate.report import page
from limo_ablate.report.page import write_report
from limo_ablate.report.serve.server import _content
from limo_ablate.report.study_view import artifact, load
from limo_ablate.study.design import load_study
from limo_ablate.study.planned import planned_trials
from limo_ablate.sweep.ledger.flock import COORDINATOR
from limo_ablate.sweep.live import last_lines
from limo_ablate.sweep.plan.cost import finished_trials
from limo_ablate.trial.track.places import RUN_ID, RUNS_IN, drop_unsent, run_id
from tests.small_study import change, small

LINES = (
    "status {}",
    "report {}",
    "report {} --to {}/elsewhere",
    "join {}",
    "retry {}",
    "repair {}",
    "sweep {}/study.yaml paths.studies={}/..",
    "freeze {}/study.yaml paths.studies={}/..",
    "dashboard {}",
    "compare --study {} size4 size64",
    "wandb-sync {} --trust",
)
"""All that read or write a study's folder; `view` is below."""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return small(tmp_path / "studies" / "made", tmp_path / "store")


@pytest.mark.parametrize("place", ["report", COORDINATOR, "trials/{}/config.yaml"])
def test_a_link_out_of_it_is_refused_by_every_verb(
    study: Path, tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "authorized_keys"
    target.write_text("mine")
    link = study / place.format(json.loads((study / "cells.json").read_text())[0]["folder"])
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path if place == "report" else target)
    (study / "seen_as").write_text(f"{study}\n")
    before = sorted(tmp_path.rglob("*"))
    for line in LINES:
        assert main([word.format(study) for word in line.split()]) == 2, line
        said = capsys.readouterr().err
        assert f"{link.name}: a link out of " in said, line
        assert len(said.splitlines()) == 1, line
    assert target.read_text() == "mine"
    assert sorted(tmp_path.rglob("*")) == before


def test_view_sends_nothing_that_a_link_leads_to(study: Path, tmp_path: Path) -> None:
    secret = tmp_path / "id_rsa"
    secret.write_text("secret")
    (study / "report").mkdir()
    (study / "report/index.html").symlink_to(secret)
    with pytest.raises(UserError, match="a link"):
        _content(study / "report/index.html")
    (study / "log.txt").symlink_to(secret)
    assert last_lines(study / "log.txt") == []
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/index.html").write_text("secret")
    (study / "linked").symlink_to(tmp_path / "outside")
    with pytest.raises(UserError, match="a link"):
        _content(study / "linked/index.html")


def test_a_report_is_drawn_into_no_folder_of_other_things(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "me.png").write_text("")
    (pictures / "index.html").write_text("<html>")
    with pytest.raises(UserError, match="it holds other things than a report"):
        write_report(tmp_path, pictures)
    (pictures / "index.html").write_text((Path(page.__file__).parent / "page.html").read_text())
    page._check_target(pictures)
    page._check_target(tmp_path / "new")


@pytest.mark.parametrize("folder", ["../../../other/trials/x", "/other/trials/x", "..", "", 3])
def test_folders_in_cells_json_are_names(study: Path, folder: object) -> None:
    change(study / "cells.json", lambda rows: rows[0].update(folder=folder))
    with pytest.raises(UserError, match=r"cells\.json: folder .* is not the name of a folder of .*/trials"):
        load_trials(study)


@pytest.mark.parametrize("text", ["[1]", "{", "3", '[{"name": "x"}]'])
def test_a_broken_cells_json_is_one_line(study: Path, text: str) -> None:
    (study / "cells.json").write_text(text)
    with pytest.raises(UserError, match=r"cells\.json: can't be read"):
        load_trials(study)


def test_keys_of_artifacts_are_names(study: Path, tmp_path: Path) -> None:
    view = load(study)
    trial = view.done[0]
    (tmp_path / "store/selection").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    trial.metrics["artifacts"]["selection"] = {"key": "../../secret"}  # type: ignore[index]
    assert artifact(view, trial, "selection") is None


def test_the_id_of_a_run_removes_no_runs_of_others(tmp_path: Path) -> None:
    """`drop_unsent` looks for runs by the id that the folder names, in the place that it names."""
    unsent = tmp_path / "mine/wandb/offline-run-20260101_000000-0123abcd"
    unsent.mkdir(parents=True)
    folder = tmp_path / "study/trials/one/wandb"
    folder.mkdir(parents=True)
    (folder / RUNS_IN).write_text(str(tmp_path / "mine"))
    (folder / RUN_ID).write_text("*")
    with pytest.raises(UserError, match=r"run_id: '\*' is not the id of a W&B run"):
        drop_unsent(folder, str(tmp_path / "mine"))
    assert unsent.is_dir()
    (folder / RUN_ID).write_text("0123abcd")
    drop_unsent(folder, None)
    assert unsent.is_dir(), "the folder's word alone"
    (folder / RUN_ID).unlink()
    assert len(run_id(folder)) == 8


def test_runs_of_a_study_from_elsewhere_are_not_sent_unasked(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trial = next((study / "trials").iterdir())
    (trial / "wandb/offline-run-20260101_000000-0123abcd").mkdir(parents=True)
    assert main(["wandb-sync", str(study)]) == 2
    assert "repeat the command with --trust" in capsys.readouterr().err
    (trial / "wandb" / RUNS_IN).write_text("/home/me/runs")
    for line in (["--trust"], ["paths.studies=" + str(study.parent)]):
        assert main(["wandb-sync", str(study), *line]) == 2
        assert "its W&B run is said to be in /home/me/runs" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["status {}", "why --study {} size4", "compare --study {} size4 size64"])
def test_readers_write_to_no_store_that_a_study_names(
    study: Path, tmp_path: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store, data = tmp_path / "store", tmp_path / "rows"
    store.mkdir()
    data.write_text("1")
    for trial in (study / "trials").iterdir():
        change(
            trial / "metrics.json", lambda found: found["inputs"]["files"].update({str(data): "0", "/": "0"})
        )
        change(trial / "config.yaml", lambda found: found["paths"].update(artifacts=str(store)))
    resolved.cache_clear()
    main([word.format(study) for word in line.split()])
    assert "Traceback" not in capsys.readouterr().err
    assert list(store.rglob("*")) == []


DEEP = "[" * 100_000
RECORDS = {
    "cells.json": [DEEP, '{"a": 1}', '[{"name": 3, "folder": "x", "key": [], "seed": 0}]'],
    "trials/{}/metrics.json": [DEEP, "[]", '{"trial": "x", "inputs": 3}', "\x00", '{"trial": []}'],
    "trials/{}/config.yaml": [DEEP, "[]", "paths: 3", "\x00", "- " * 50_000],
    "trials/{}/provenance.json": [DEEP, "[]", '{"started": 3}'],
    "seen_as": [DEEP, "\x00", "/", "..", ""],
    "stopped.json": [DEEP, "[]", '{"reason": [], "trials": 3}'],
    "slurm.json": [DEEP, "{}", '[{"job": 1}]'],
    "runners/far-1-abcd.json": [DEEP, "[]", "\x00"],
    "ledger.log": [
        DEEP + "\n",
        "3\n",
        '{"op_code": 77, "worker_id": "x"}\n',
        '{"op_code": 0, "worker_id": "x", "study_name": [], "directions": 3}\n',
        '{"op_code": 0, "worker_id": "x", "study_name": "made", "directions": [2]}\n'
        '{"op_code": 4, "worker_id": "x", "study_id": 0, "datetime_start": null, "state": 0}\n',
        '{"op_code": 0, "worker_id": "x", "study_name": "made", "directions": [2]}\n'
        '{"op_code": 4, "worker_id": "x", "study_id": 0, "datetime_start": null, "state": 4, '
        '"user_attrs": {"key": [], "cell": 3, "result": 7}}\n',
    ],
}
READERS = (
    "status {}",
    "status {} --json",
    "compare --study {} size4 size64",
    "why --study {} size4",
    "plan {}/study.yaml",
)


@pytest.mark.parametrize("place", RECORDS)
def test_a_record_of_any_content_is_told_in_one_line(
    study: Path, place: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.parent.parent)
    path = study / place.format(json.loads((study / "cells.json").read_text())[0]["folder"])
    path.parent.mkdir(exist_ok=True)
    for text in RECORDS[place]:
        path.write_text(text)
        resolved.cache_clear()
        for line in (*READERS, "repair {}"):
            code = main([word.format(study) for word in line.split()])
            said = capsys.readouterr().err
            assert code in (0, 2), (line, text[:40], said)
            assert len(said.splitlines()) <= 1, line
            assert len(said) < 1500


def test_repair_keeps_the_lines_before_one_that_can_not_be_applied(study: Path) -> None:
    ledger = study / "ledger.log"
    good = '{"op_code": 0, "worker_id": "x", "study_name": "made", "directions": [2]}\n'
    ledger.write_text(good + '{"op_code": 77, "worker_id": "x"}\n' + good.replace("made", "other"))
    assert main(["status", str(study)]) == 2
    assert main(["repair", str(study)]) == 0
    assert ledger.read_text().startswith(good)
    assert '"op_code": 77' not in ledger.read_text()
    assert main(["status", str(study)]) == 0


def test_a_ledger_names_no_folder_that_is_read(study: Path, tmp_path: Path) -> None:
    """Forecasts are learnt from the trials' own folders, whatever a row says."""
    view = load(study)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(view.done[0].folder / "metrics.json", other)
    row = create_trial(
        state=TrialState.COMPLETE,
        value=0.5,
        user_attrs={"key": view.done[0].metrics["trial"], "cell": "x", "result": {"folder": str(other)}},  # type: ignore[index]
    )
    (view.done[0].folder / "metrics.json").unlink()
    trials = planned_trials(load_study(str(study / "study.yaml")))
    assert finished_trials([row], trials, study) == []
