"""Folders of configurations and studies: the project's own first, then the package's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.core.project import (
    VARIABLE,
    command,
    conf_folders,
    package_folder,
    project,
    project_words,
    study_file,
    study_names,
    sweep_folders,
    use_project,
)


@pytest.fixture(autouse=True)
def _unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")


def test_the_current_folder_is_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (project(), project_words()) == (tmp_path, ())
    assert conf_folders() == (package_folder("conf"),)
    (tmp_path / "conf").mkdir()
    (tmp_path / "sweeps").mkdir()
    assert conf_folders() == (tmp_path / "conf", package_folder("conf"))
    assert sweep_folders() == (tmp_path / "sweeps", package_folder("sweeps"))


def test_the_package_s_own_folder_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(package_folder("conf").parent)
    assert (len(conf_folders()), len(sweep_folders())) == (1, 1)


@pytest.mark.slow
def test_a_named_project_holds_for_what_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    use_project(Path("mine"))
    assert project() == tmp_path / "mine"
    assert project_words() == ("--project", str(tmp_path / "mine"))
    assert command("retry", "a b") == f"limo-ablate --project {tmp_path / 'mine'} retry 'a b'"
    code = "from limo_ablate.core.project import project; print(project())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.stdout.strip() == str(tmp_path / "mine")


def test_a_project_that_is_no_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"--project .*gone: no such folder"):
        use_project(tmp_path / "gone")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(UserError, match=f"{VARIABLE}=.*gone: no such folder"):
        project()


def test_a_study_of_the_project_hides_its_namesake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps").mkdir()
    for name in ("mine", "miniature"):
        (tmp_path / "sweeps" / f"{name}.yaml").touch()
    assert {"mine", "limo_grid"} < set(study_names())
    assert study_names().count("miniature") == 1
    assert study_file("miniature") == tmp_path / "sweeps" / "miniature.yaml"
    assert study_file("limo_grid") == package_folder("sweeps") / "limo_grid.yaml"
    assert study_file("nowhere") is None
