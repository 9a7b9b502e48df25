"""What `status` takes from the study's folder is what composing would give, or it is composed."""

from pathlib import Path
from typing import Any

import pytest

from limo_ablate.study.design import Study, load_study
from limo_ablate.study.planned import planned_trials
from limo_ablate.sweep.attempts import Bases
from limo_ablate.sweep.kept_plan import PLAN, base_of, plan_digest, read_plan, write_plan
from tests.conftest import ROOT

STUDY = """
name: s
overrides: [data=miniature, hardware.price=2, 'paths.artifacts=s3://bucket/limo']
blocks: [{name: b, axes: {model: [mini_s, mini_m], select.size: [0, 8]}}]
seeds: [0, 1]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a configuration of its own, and a study's folder in it whose plan is kept."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "own.yaml").write_text("defaults: [mini_s]\n")
    (tmp_path / "study.yaml").write_text(STUDY)
    keep(tmp_path)
    return tmp_path


def declared(folder: Path) -> Study:
    return load_study(str(folder / "study.yaml"))


def keep(folder: Path) -> None:
    study = declared(folder)
    write_plan(folder, plan_digest(study), planned_trials(study))


def test_what_is_kept_is_what_composing_gives(folder: Path) -> None:
    def facts(trial: Any) -> tuple[Any, ...]:
        place = (trial.name, trial.key, trial.id, trial.folder, trial.overrides, trial.proposal)
        return (*place, trial.hardware, trial.executor, trial.store, base_of(trial, Bases()))

    kept = read_plan(folder, declared(folder))
    assert kept
    assert list(map(facts, kept)) == list(map(facts, planned_trials(declared(folder))))
    assert kept[0].base is not None


def test_changed_configurations_are_composed_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each change alone, and nothing else."""
    own, size = folder / "conf" / "model" / "own.yaml", folder / "study.yaml"
    own.write_text("defaults: [mini_m]\n")
    assert read_plan(folder, declared(folder)) is None
    own.write_text("defaults: [mini_s]\n")
    assert read_plan(folder, declared(folder))
    size.write_text(STUDY.replace("[0, 8]", "[0, 9]"))
    assert read_plan(folder, declared(folder)) is None
    size.write_text(STUDY)
    monkeypatch.setattr("limo_ablate.sweep.kept_plan.code_digest", lambda _: "other code")
    assert read_plan(folder, declared(folder)) is None


def test_a_variable_that_a_configuration_reads_counts_and_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "study.yaml").write_text(
        STUDY.replace("bucket/limo", "bucket/${oc.env:LIMO_ABLATE_PLACE,limo}")
    )
    keep(folder)
    monkeypatch.setenv("LIMO_ABLATE_OTHER", "3")
    assert read_plan(folder, declared(folder))
    monkeypatch.setenv("LIMO_ABLATE_PLACE", "3")
    assert read_plan(folder, declared(folder)) is None


@pytest.mark.parametrize(
    "text",
    [
        "hydra: {searchpath: ['file:///elsewhere']}\n",
        "seed: ${oc.env:${name}}\n",
    ],
)
def test_nothing_is_kept_where_what_decides_cannot_be_told(folder: Path, text: str) -> None:
    (folder / "conf" / "model" / "own.yaml").write_text(text)
    assert plan_digest(declared(folder)) is None


def test_a_linked_folder_of_configurations_is_not_looked_into(folder: Path, tmp_path: Path) -> None:
    (folder / "conf" / "linked").symlink_to(tmp_path)
    assert plan_digest(declared(folder)) is None


def test_a_file_that_cannot_be_read_is_no_error(folder: Path) -> None:
    (folder / "conf" / "model" / "own.yaml").write_bytes(b"# caf\xe9\n")
    keep(folder)
    assert read_plan(folder, declared(folder))
    (folder / "conf" / "model" / "gone.yaml").symlink_to(folder / "nowhere")
    assert plan_digest(declared(folder)) is None


def test_a_search_is_composed() -> None:
    study = load_study(str(ROOT / "sweeps" / "lr_search.yaml"))
    assert study.blocks[0].adaptive
    assert plan_digest(study) is None


@pytest.mark.parametrize(
    "content", ["", "{", '{"digest": 1}', "[]", '{"digest": "x", "shared": [], "trials": []}']
)
def test_a_damaged_file_is_no_error(folder: Path, content: str) -> None:
    (folder / PLAN).write_text(content)
    assert read_plan(folder, declared(folder)) is None
