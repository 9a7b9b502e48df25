"""A store that the user may read, and not write: trials run there if everything that they need is in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from limo_ablate.core.artifacts import Store, hold_lock
from limo_ablate.core.errors import UserError
from limo_ablate.sweep.plan.preflight import check_trials
from limo_ablate.trial.checks import check_alone
from limo_ablate.trial.compose import compose
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import TrialLabels
from limo_ablate.trial.run import run_trial

TINY = [
    "model=mini_s", "model.pretrain.tokens=20000", "track=none", "select.size=8", "train.steps=3",
    "data.miniature.per_level=20", "eval.benchmarks.mini.miniature.per_level=2",
]  # fmt: skip
NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every user may read, which `tmp_path` is not."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@contextmanager
def reader(store: Path) -> Iterator[None]:
    """Inside, this process may not write to the store: root gives up its rights for as long."""
    modes = {path: path.stat().st_mode for path in (store, *store.rglob("*"))}
    for path in modes:
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.getuid() == 0
    if root:
        os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        if root:
            os.setresuid(0, 0, 0)
        for path, mode in modes.items():
            path.chmod(mode)


def run(config: TrialConfig, folder: Path) -> dict[str, object]:
    return run_trial(config, folder, TrialLabels(study=None, cell={}, name=folder.name))


def test_a_trial_whose_artifacts_are_there_runs_and_another_is_refused_first(folder: Path) -> None:
    store, mine = folder / "store", folder / "mine"
    mine.mkdir()
    mine.chmod(0o777)
    config = compose([*TINY, f"paths.artifacts={store}"])
    with_more = replace(config, select=replace(config.select, size=9))
    first = run(config, mine / "first")
    before = {path: path.stat().st_mtime_ns for path in (store, *store.rglob("*"))}
    with reader(store):
        assert not check_trials([("one", config)]).problems
        check_alone(config)
        again = run(config, mine / "again")
        problems = check_trials([("one", config), ("more", with_more)]).problems
        with pytest.raises(UserError, match=r"would have to be made: selection$"):
            check_alone(with_more)
    assert (again["scores"], again["artifacts"]) == (first["scores"], first["artifacts"])
    ((reason, trials),) = problems.items()
    assert reason.startswith(f"paths.artifacts={store}: you may not write to {store}")
    assert reason.endswith("would have to be made: selection")
    assert trials == ["more"]
    assert {path: path.stat().st_mtime_ns for path in (store, *store.rglob("*"))} == before


def test_an_empty_one_is_refused_in_one_line(folder: Path) -> None:
    (folder / "store").mkdir()
    config = compose([*TINY, f"paths.artifacts={folder}/store"])
    with reader(folder / "store"):
        (reason,) = check_trials([("one", config)]).problems
        assert reason.endswith("would have to be made: benchmark")
        with pytest.raises(UserError, match="can't write to it: Permission denied"):
            Store(folder / "store").build("pool", {}, Path.touch)


@pytest.mark.parametrize("error", [PermissionError(13, "denied"), OSError(30, "Read-only file system")])
def test_a_lock_that_is_denied_is_told(
    error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: object, **__: object) -> Callable[..., None]:
        raise error

    monkeypatch.setattr("filelock.FileLock.acquire", deny)
    with (
        pytest.raises(UserError, match="the store is shared: you may not write to"),
        hold_lock(str(tmp_path / "key.lock")),
    ):
        pass
