"""The wheel, built from the source distribution, works in an empty folder; versions agree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import limo_ablate
from limo_ablate.core.project import VARIABLE
from tests.conftest import ROOT

BUILD = "from setuptools.build_meta import build_sdist; build_sdist({folder!r})"
SMALL = ("model=mini_s", "model.pretrain.tokens=4096", "train.steps=2", "track=none",
         "eval.benchmarks.mini.miniature.per_level=1", "eval.benchmarks.mini.max_tokens=16")  # fmt: skip
CUT = ("seeds=[0]", "select.size=0", "select.quality=L4", "select.difficulty=easy")
"""Leaves one level of each axis; the models' axis follows `model=`."""


def test_the_version_is_written_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == project["version"] == limo_ablate.__version__
    assert cited["license"] == project["license"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist, which is built from the files that git has or would have."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    ):
        if name and (ROOT / name).is_file():
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / "source" / name)
    (folder / "source/conf/local").mkdir()
    (folder / "source/conf/local/default.yaml").write_text("seed: 7\n")
    build = [sys.executable, "-c", BUILD.format(folder=str(folder))]
    subprocess.run(build, cwd=folder / "source", check=True, capture_output=True)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*pip, str(unpacked)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_all_data_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    expected = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "limo_ablate").rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    for name in ("conf", "sweeps"):
        files = (ROOT / name).rglob("*.yaml")
        expected |= {f"limo_ablate/{file.relative_to(ROOT)}" for file in files if "local" not in file.parts}
    assert not expected - held
    assert not [
        name for name in held if name.startswith(("tests", "benchmarks", "docs", "limo_ablate/conf/local"))
    ]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that has the wheel, and this one's packages but for the checkout."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    # a .pth file's own .pth files are not read, so an editable install stays out; the wheel comes first
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install", "-q", "--no-deps"]
    subprocess.run([*pip, "--force-reinstall", "--no-index", str(wheel)], check=True, capture_output=True)
    return folder / "bin"


def run(command: Path, *words: str, at: Path, code: int = 0) -> str:
    """What an installed command prints."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", VARIABLE)}
    environment |= {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(command), *words], cwd=at, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.mark.slow
def test_an_installed_wheel_works_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-c", "import limo_ablate; print(limo_ablate.__file__)", at=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    limo = installed / "limo-ablate"
    assert run(limo, "--version", at=tmp_path).strip() == f"limo-ablate {limo_ablate.__version__}"
    assert "sweep" in run(limo, "--help", at=tmp_path)
    assert "miniature" in run(limo, "plan", "miniature", at=tmp_path)
    assert "mini" in run(limo, "select.size=2", *SMALL, at=tmp_path)
    assert "report: " in run(limo, "sweep", "miniature", *CUT, *SMALL, at=tmp_path)
    (tmp_path / "answers.jsonl").write_text('{"completion": "so \\\\boxed{1/2}", "gold": "0.5"}\n')
    assert '"correct"' in run(limo, "verify", "answers.jsonl", at=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"answers.jsonl", "outputs"}


@pytest.mark.slow
def test_init_writes_a_project_whose_study_can_be_planned(installed: Path, tmp_path: Path) -> None:
    limo, mine = installed / "limo-ablate", tmp_path / "mine"
    run(limo, "init", "mine", at=tmp_path)
    assert {str(path.relative_to(mine)) for path in mine.rglob("*") if path.is_file()} == {
        ".gitignore", "Makefile", "README.md", "conf/data/mine.yaml", "conf/eval/exam.yaml", "exam.jsonl",
        "rows.jsonl", "sweeps/first.yaml",
    }  # fmt: skip
    assert run(limo, "init", "mine", at=tmp_path, code=2).count("\n") == 1
    assert "7 trials" in run(limo, "plan", "first", at=mine)
