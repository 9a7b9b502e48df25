"""A trial's folder is its own, and nothing is left where a trial can't run."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from limo_ablate.cli import main
from limo_ablate.sweep.ledger.flock import coordinator
from limo_ablate.trial.new_folder import NewFolder, new_folder

READ_ONLY = Path("/sys/limo_ablate")
"""A folder that nobody can make, whoever runs the tests."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(autouse=True)
def _own_hydra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["limo-ablate"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    handlers = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = handlers  # Hydra's write to a stream of the test
    GlobalHydra.instance().clear()


def test_folders_of_one_second_are_distinct(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(new_folder, [tmp_path / "day" / "12-00-00"] * 20))
    assert {folder.name for folder in made} == {"12-00-00", *(f"12-00-00-{n}" for n in range(2, 21))}


@pytest.mark.parametrize(("folder", "second"), [("${now:%Y}", "-2"), ("chosen", "")])
def test_only_a_folder_named_by_the_time_is_made_anew(tmp_path: Path, folder: str, second: str) -> None:
    OmegaConf.register_new_resolver("now", lambda _: "2026", replace=True)
    for suffix in ("", second):
        config = OmegaConf.create({"hydra": {"run": {"dir": f"{tmp_path}/{folder}"}}})
        OmegaConf.set_readonly(config, True)
        NewFolder().on_run_start(config)
        assert config.hydra.run.dir == f"{tmp_path}/{folder.replace('${now:%Y}', '2026')}{suffix}"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["hardware=gpu1"], "hardware=gpu1 needs 1 GPU for a trial, 0 are visible; choose other hardware"),
        (["data=jsonl", "data.path=nope.jsonl"], "jsonl: no such file: nope.jsonl (looked in "),
        (["model=local", "model.path=./nope"], "model.path=./nope: no such folder"),
        (
            ["-m", "seed=1,2", "model=local", "model.path=/nope"],
            "model.path=/nope: no such folder (all 2 trials)",
        ),
        ([f"hydra.run.dir={READ_ONLY}"], f"{READ_ONLY}: "),
        (["-m", "select.size=4,8", f"hydra.sweep.dir={READ_ONLY}"], f"{READ_ONLY}: "),
        (["-m", "hydra.job.chdir=true"], "hydra.job.chdir=true has no effect under -m"),
        (["-m", "+hydra.launcher.n_jobs=2"], "hydra.launcher.n_jobs=2 has no effect"),
        (["select", "--out", str(READ_ONLY)], f"--out={READ_ONLY}: can't be written: "),
    ],
)
def test_what_can_t_run_says_so_in_a_line_and_leaves_nothing(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    shared = [f"paths.artifacts={store}", "debug=fast", "track=none"]
    assert main([*argv, *shared]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"limo-ablate: {message}")
    assert len(error.strip().splitlines()) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_results_of_another_trial_are_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "metrics.json").write_text(json.dumps({"trial": "another"}))
    assert main(["hydra.run.dir=own"]) == 2
    assert "own holds the results of another trial; choose another" in capsys.readouterr().err


def test_a_second_multirun_in_a_folder_is_told_to_take_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with coordinator(tmp_path / "own"):
        assert main(["-m", "seed=1,2", "hydra.sweep.dir=own"]) == 2
    assert "own: another -m is running here (pid " in (error := capsys.readouterr().err)
    assert "choose another folder: hydra.sweep.dir=DIR" in error
