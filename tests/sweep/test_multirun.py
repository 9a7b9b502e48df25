"""`limo-ablate -m`: Hydra's command line over the sweep engine, with real trials of the smallest kind."""

import json
from pathlib import Path

import pytest

from tests.forked import limo_ablate

TINY = [
    "model=mini_s", "model.pretrain.tokens=20000", "train.steps=3", "track=none", "launch.slots=2",
    "data.miniature.per_level=20", "eval.benchmarks.mini.miniature.per_level=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("multirun")


def test_what_sweeps_is_run_once_where_hydra_is_told(folder: Path) -> None:
    """A trial that can't be run gives exit code 3; what is finished stays so."""
    where = "hydra.sweep.dir=outputs/studies/mine"
    done = limo_ablate("-m", where, "select.size=0,8", "train.max_length=4", *TINY, cwd=folder)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "size0-s0" in done.stdout
    assert "train.max_length=4: all 8 rows are longer" in done.stdout
    assert "Traceback" not in done.stderr
    trials = json.loads((folder / "outputs/studies/mine/cells.json").read_text())
    assert [trial["overrides"]["select.size"] for trial in trials] == [0, 8]
    trial = folder / "outputs/studies/mine/trials" / trials[0]["folder"]
    assert json.loads((trial / "metrics.json").read_text())["study"] == "mine"
    flags = ("select.size=0", "train.max_length=4", *TINY)
    again = limo_ablate("-m", where, *flags, cwd=folder, report="none")
    assert again.returncode == 0
    assert "mine: 1 of 1 trial finished, nothing left to do" in again.stdout


def test_a_typo_is_a_users_error(folder: Path) -> None:
    done = limo_ablate("-m", "select.size=4,16", "select.quality=L5,L9", cwd=folder)
    assert done.returncode == 2
    assert "select.quality=L9: not a choice" in done.stderr


def test_hydras_own_sweeper_can_be_had(folder: Path) -> None:
    for sweeper in ("limo_sweeper.LimoSweeper", "basic_sweeper.BasicSweeper"):
        choice = [] if "limo" in sweeper else ["hydra/sweeper=basic"]
        shown = limo_ablate("--cfg", "hydra", "-p", "hydra.sweeper", *choice, cwd=folder)
        assert sweeper in shown.stdout
