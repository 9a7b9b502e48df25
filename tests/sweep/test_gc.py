"""`limo-ablate gc`: what no study needs goes, and nothing else."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

from limo_ablate.cli import main
from limo_ablate.core.artifacts import Artifact, Store, content_key, stage_version
from limo_ablate.core.errors import EXIT_USER_ERROR, UserError
from limo_ablate.data.pool.load import load_pool
from limo_ablate.study.design import load_study
from limo_ablate.study.planned import planned_trials
from limo_ablate.sweep import gc

AGO = time.time() - 30 * 86400


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    return Store(Path("outputs/artifacts"))


def made(store: Store, stage: str, **inputs: Any) -> Artifact:
    artifact = store.build(stage, inputs, lambda folder: _write(folder / "data", folder.name))
    age(artifact.path)
    return artifact


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def age(path: Path) -> None:
    for entry in [*path.rglob("*"), path] if path.is_dir() else [path]:
        os.utime(entry, (AGO, AGO), follow_symlinks=False)


def finished(name: str, **artifacts: Artifact) -> Path:
    """A finished trial that has these artifacts."""
    folder = Path("outputs/trials") / name
    folder.mkdir(parents=True)
    named = {stage: {"key": one.key, "digest": one.digest} for stage, one in artifacts.items()}
    metrics = {
        "trial": name, "scores": {"mini": {"accuracy": 0.5}}, "finished": "2026-01-01", "total_seconds": 1.0,
        "inputs": {"files": {}, "versions": {}}, "artifacts": named,
    }  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def collect(store: Store, *, delete: bool = True, days: float = 7) -> str:
    return str(gc.collect([Path("outputs")], store.root, days, delete=delete))


def test_what_no_trial_was_made_from_goes(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = made(store, "tokens", n=1)
    weights = made(store, "weights", tokens=tokens)
    other_tokens = made(store, "tokens", n=2)
    other = made(store, "weights", tokens=other_tokens)
    fresh = store.build("weights", {"n": 3}, lambda folder: _write(folder / "data", folder.name))
    finished("t", weights=weights)
    assert main(["gc"]) == 0
    listed = capsys.readouterr().out
    assert "needed by 1 finished trial, or younger than 7 days" in listed
    assert "--delete would free 2 artifacts" in listed
    assert other.path.exists(), "it is only listed"
    assert main(["gc", "--delete"]) == 0
    assert "freed 2 artifacts" in capsys.readouterr().out
    kept = [one.path.exists() for one in (weights, tokens, other, other_tokens, fresh)]
    assert kept == [True, True, False, False, True]
    assert main(["gc", "--delete", "--older-than", "0"]) == 0
    assert not fresh.path.exists()


def test_what_is_being_made_stays(store: Store) -> None:
    finished("t", weights=made(store, "weights", n=0))
    for name in ("a" * 16, "b" * 16):
        folder = store.root / "weights" / f"{name}.partial"
        folder.mkdir()
        (folder / "step-1").write_text("x")
        age(folder)
    with FileLock(store.root / "weights" / f"{'a' * 16}.lock"):
        collect(store)
    left = sorted(path.name for path in (store.root / "weights").glob("*.partial"))
    assert left == [f"{'a' * 16}.partial"]


def test_links_lead_nowhere(store: Store, tmp_path: Path) -> None:
    finished("t", weights=made(store, "weights", n=0))
    outside = made(Store(tmp_path / "elsewhere"), "weights", n=9)
    (store.root / "weights" / outside.key).symlink_to(outside.path)
    (store.root / "linked").symlink_to(outside.path.parent)
    unneeded = made(store, "weights", n=1)
    (unneeded.path / "link").symlink_to(outside.path)
    age(unneeded.path)
    (store.root / "weights" / "notes").mkdir()
    (store.root / "notes" / ("c" * 16)).mkdir(parents=True)
    age(store.root / "notes" / ("c" * 16))
    collect(store, days=0)
    assert not unneeded.path.exists()
    assert (outside.path / "data").exists()
    assert (store.root / "weights" / "notes").exists()
    assert (store.root / "notes" / ("c" * 16)).exists(), "no artifact of ours"


def test_the_cache_of_needed_completions_stays(store: Store) -> None:
    key = {"sampling": {"seed": 0}, "model": made(store, "weights", n=0), "engine": "paged"}
    ask = {"benchmark": "mini", "problems": "p", "samples": 4, "system_prompt": None, "raw": False}
    needed = made(store, "completions", **ask, **key)
    finished("t", completions=needed)
    drawn = store.root / "drawn"
    drawn.mkdir()
    names = [content_key("drawn", stage_version("drawn"), key), "d" * 16]
    for name in names:
        (drawn / f"{name}.jsonl").write_text("{}\n")
        age(drawn / f"{name}.jsonl")
    collect(store)
    assert [(drawn / f"{name}.jsonl").exists() for name in names] == [True, False]


STUDY = {
    "name": "own",
    "overrides": ["data=miniature", "train=mini", "eval=miniature", "hardware=cpu", "model=mini_s",
                  "data.miniature.per_level=5", "select.quality=L4"],
    "blocks": [{"name": "b", "axes": {"select.size": [4]}}],
}  # fmt: skip


@pytest.mark.parametrize("registered", [False, True])
def test_what_an_unfinished_study_would_use_stays(store: Store, registered: bool) -> None:
    Path("own.yaml").write_text(yaml.safe_dump(STUDY))
    config = planned_trials(load_study("own.yaml"))[0].config
    pool = load_pool(store, config.data)
    age(pool.path)
    study = Path("outputs/studies/own")
    if registered:
        assert main(["freeze", "own.yaml"]) == 0
        assert not (study / "study.yaml").exists()
        for path in store.root.rglob("*"):
            age(path)
    else:
        study.mkdir(parents=True)
        shutil.copy("own.yaml", study / "study.yaml")
    assert "what is left of own" in collect(store)
    assert pool.path.exists()
    finished("t", weights=made(store, "weights", n=0))
    shutil.rmtree(study)
    collect(store)
    assert not pool.path.exists()


def test_a_study_that_can_not_be_read_frees_nothing(store: Store) -> None:
    finished("t", weights=made(store, "weights", n=0))
    unneeded = made(store, "weights", n=1)
    study = Path("outputs/studies/own")
    study.mkdir(parents=True)
    (study / "study.yaml").write_text(yaml.safe_dump(STUDY | {"overrides": ["model=gone"]}))
    with pytest.raises(UserError, match=r"own: what it needs can't be known, so nothing is freed: .*gone"):
        collect(store)
    assert unneeded.path.exists()


def test_without_trials_nothing_is_freed(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    made(store, "weights", n=1)
    assert main(["gc", "--delete", "--older-than", "0"]) == EXIT_USER_ERROR
    assert "no trial in outputs, so nothing would be needed" in capsys.readouterr().err
