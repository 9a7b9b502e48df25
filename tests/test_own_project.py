"""A project of one's own: its conf/ and sweeps/ are found by every verb, before the package's."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from limo_ablate.core.project import VARIABLE, package_folder
from limo_ablate.core.typed import from_dict
from limo_ablate.trial.compose import compose_trials
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import trial_keys
from tests.conftest import ROOT
from tests.forked import limo_ablate
from tests.planted import plant

pytestmark = pytest.mark.slow
ROWS = [{"problem": f"What is {n} + {n}?", "answer": str(2 * n), "solution": f"Twice {n}."} for n in range(9)]
DATA = """
defaults:
  - jsonl
  - _self_
name: {name}
path: {folder}/rows.jsonl
"""
STUDY = """
name: mine
overrides: [data=mine, model=scratch, eval=miniature, track=none, debug=fast, select.quality=any]
seeds: [0]
blocks:
  - name: size
    axes: {select.size: [2, 4]}
"""
UNTUNED = ("model=scratch", "select.size=0", "debug=fast", "track=none")
"""A trial that trains nothing."""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """A project, with modules that must not be imported; the same lie in the current folder."""
    folder = tmp_path / "own"
    for part in ("conf/data", "sweeps", "more/data"):
        (folder / part).mkdir(parents=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "conf/data/mine.yaml").write_text(DATA.format(name="mine", folder=folder))
    (folder / "more/data/extra.yaml").write_text(DATA.format(name="extra", folder=folder))
    (folder / "sweeps/mine.yaml").write_text(STUDY)
    planted = [plant(place) for place in (folder, folder / "conf", folder / "sweeps", tmp_path)]
    yield folder
    assert not any(marker.exists() for marker in planted)


def run(*words: str, at: Path, code: int = 0, report: bool = False, **environment: str) -> str:
    """What the command prints; `report`: whether reports are drawn."""
    inherited = {key: value for key, value in os.environ.items() if key != VARIABLE}
    environment = {**inherited, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    done = limo_ablate(*words, cwd=at, environment=environment, report="page" if report else "none")
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_its_choices_stand_beside_the_package_s(own: Path, tmp_path: Path) -> None:
    shown = yaml.safe_load(run("--cfg", "job", "data=mine", at=own))
    assert shown["data"]["name"] == "mine"
    assert yaml.safe_load(run("--cfg", "job", "data=limo", at=own))["data"]["name"] == "limo"
    said = run("data=mien", at=own, code=2)
    assert "did you mean mine?" in said
    assert "miniature" in said
    assert "data=mine: not a choice" in run("data=mine", at=tmp_path, code=2)
    elsewhere = yaml.safe_load(run("--project", "own", "--cfg", "job", "data=mine", at=tmp_path))
    assert elsewhere == shown


def test_its_primary_configuration_extends_the_package_s(own: Path) -> None:
    (own / "conf/config.yaml").write_text(
        "defaults:\n  - limo_ablate\n  - override data: mine\n  - _self_\nseed: 7\n"
    )
    shown = yaml.safe_load(run("--cfg", "job", at=own))
    assert (shown["data"]["name"], shown["seed"]) == ("mine", 7)
    assert yaml.safe_load(run("--cfg", "job", "data=limo", at=own))["data"]["name"] == "limo"


def test_its_studies_are_planned_and_compared(own: Path, tmp_path: Path) -> None:
    assert "mine" in run("plan", "mine", at=own)
    assert "mine" in run("--project", "own", "plan", "mine", at=tmp_path)
    assert "mine" in run("plan", "mine", at=tmp_path, **{VARIABLE: str(own)})
    assert "written: " in run(
        "select", "data=mine", "select.size=4", "select.quality=any", "model=scratch", at=own
    )
    assert "registered: mine" in run("freeze", "mine", at=own)
    assert "mine: no such study" in run("plan", "mine", at=tmp_path, code=2)
    named = yaml.safe_load(run("--project", "own", "wandb-sweep", "mine", at=tmp_path))
    assert f"{VARIABLE}={own}" in named["command"]


def test_a_study_runs_and_what_it_prints_can_be_pasted(own: Path, tmp_path: Path) -> None:
    changed = ("select.size=0,4", "train.max_length=4", "launch.attempts=1")  # no row is as short
    said = run("--project", "own", "sweep", "mine", *changed, at=tmp_path, code=3, report=True)
    assert "report: " in said
    assert (tmp_path / "outputs/studies/mine/report/index.html").is_file()
    assert not (own / "outputs").exists()
    run("--project", "own", "report", "mine", at=tmp_path)
    run("--project", "own", "join", "mine", at=tmp_path)
    run("--project", "own", "why", "size0", "--study", "mine", *changed, at=tmp_path)
    (rerun,) = {line.split("rerun: ")[1] for line in said.splitlines() if "rerun: " in line}
    command, *words = shlex.split(rerun)
    assert (command, words[:2]) == ("limo-ablate", ["--project", str(own)])
    assert "train.max_length=4: all 4 rows are longer" in run(*words, at=tmp_path, code=2)


def test_a_multirun_is_composed_from_the_search_path_it_was_given(own: Path) -> None:
    """However it is given: the trials are the same, so that the second multirun has nothing to do."""
    said = run("-m", "data=extra,mine", *UNTUNED, "--config-dir", "more", at=own)
    assert "report: " in said
    (folder,) = own.glob("outputs/studies/multirun")
    planned = json.loads((folder / "cells.json").read_text())
    found = [
        yaml.safe_load((folder / "trials" / one["folder"] / "config.yaml").read_text()) for one in planned
    ]
    assert sorted(one["data"]["name"] for one in found) == ["extra", "mine"]
    asked = [f"hydra.searchpath=[{own}/more,{own}/conf]", "data=extra", *UNTUNED]
    keys = trial_keys(compose_trials([asked]))
    assert keys[0] in {one["key"] for one in planned}
    flags = ("data=glob([extra,min?])", *UNTUNED, "hydra.searchpath=[file://more]")
    assert "nothing left to do" in run("-m", *flags, at=own)
    run("join", "multirun", at=own)


def test_a_multirun_starts_from_the_file_it_was_given(own: Path) -> None:
    """Its trials are composed as one alone is; so are those of another runner, and those that are rerun."""
    flags = ("-cn", "other", "-cp", "more", "--config-dir", "last")
    (own / "last").mkdir()
    (own / "last/other.yaml").write_text(
        "defaults: [limo_ablate, _self_]\nseed: 7\ntrain: {weight_decay: 0.5}\n"
    )
    shipped = (package_folder("conf") / "data/miniature.yaml").read_text()
    (own / "more/data/miniature.yaml").write_text(shipped.replace("name: miniature", "name: hidden"))
    shared = ("model=scratch", "debug=fast", "track=none", "train.max_length=4", "launch.attempts=1", *flags)
    said = run("-m", "select.size=0,4", *shared, at=own, code=3)  # no row is as short
    (finished,) = own.glob("outputs/studies/multirun/trials/*/metrics.json")
    made = typed((finished.parent / "config.yaml").read_text())
    alone = run("--cfg", "job", "--resolve", "select.size=0", *shared, at=own)
    assert made == replace(typed(alone), hardware=made.hardware)
    assert (made.seed, made.train.weight_decay, made.data.name) == (7, 0.5, "hidden")
    run("join", "multirun", at=own)
    (rerun,) = {line.split("rerun: ")[1] for line in said.splitlines() if "rerun: " in line}
    again = run(*shlex.split(rerun)[1:], "--cfg", "job", "--resolve", at=own)
    assert typed(again) == typed(run("--cfg", "job", "--resolve", "select.size=4", *shared, at=own))


def typed(text: str) -> TrialConfig:
    return from_dict(TrialConfig, yaml.safe_load(text))
