"""`gc` of a store at a URL: what killed makers have left goes, and nothing else."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from limo_ablate.cli import main
from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.manifest import MANIFEST
from limo_ablate.core.remote.object_store import ObjectStore
from limo_ablate.core.remote.store import RemoteStore

AGO = time.time() - 30 * 86400


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


def gc(there: Path, *options: str) -> int:
    return main(["gc", f"paths.artifacts=file://{there}", *options])


def names(there: Path) -> set[str]:
    return {path.relative_to(there).as_posix() for path in there.rglob("*") if path.is_file()}


def machine(there: Path, name: str) -> RemoteStore:
    return RemoteStore(ObjectStore(f"file://{there}"), there.parent / name, 1.0)


def write(folder: Path) -> None:
    (folder / "weights").write_bytes(b"w" * 1000)


def train(folder: Path) -> None:
    (folder / "steps" / "step-1").mkdir(parents=True)
    (folder / "steps" / "step-1" / "state").write_bytes(b"s" * 500)
    raise KeyboardInterrupt


def made(there: Path, name: str = "a", **inputs: int) -> Artifact:
    return machine(there, name).build("weights", inputs, write)


def killed(*_: object) -> bool:
    raise KeyboardInterrupt


def killed_before_the_manifest(there: Path, **inputs: int) -> set[str]:
    """A maker that dies once its files are at the URL; returns them."""
    before = names(there)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectStore, "create", killed)
        patch.setattr(RemoteStore, "_find", lambda *_: None)  # it had looked before the other was there
        patch.setattr(RemoteStore, "_check", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            made(there, "killed", **inputs)
    return names(there) - before


def interrupted(there: Path, name: str, **inputs: int) -> None:
    """A training that has uploaded a checkpoint."""
    with pytest.raises(KeyboardInterrupt):
        machine(there, name).build("weights", inputs, train, checkpoints=("steps",))


def age(there: Path) -> None:
    for path in there.rglob("*"):
        os.utime(path, (AGO, AGO))


def test_what_killed_makers_left_goes_and_artifacts_stay(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(there, n=1)
    left = killed_before_the_manifest(there, n=2) | killed_before_the_manifest(there, n=1)
    assert len(left) == 2
    age(there)
    before = names(there)
    assert gc(there) == 0
    assert "--delete would free 2 objects, 0.0 MB" in capsys.readouterr().out
    assert names(there) == before
    assert gc(there, "--delete", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert {one["path"] for one in facts["not_needed"]} == left
    assert (facts["artifacts"], facts["deleted"]) == (1, True)
    assert names(there) == before - left
    assert (made(there, "b", n=1).path / "weights").stat().st_size == 1000


def test_what_is_young_stays_and_no_age_below_a_day_is_taken(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed_before_the_manifest(there, n=1)
    before = names(there)
    assert gc(there, "--delete", "--older-than", "1") == 0
    assert names(there) == before
    assert gc(there, "--delete", "--older-than", "0.5") == 2
    assert "--older-than=0.5: at least 1 day" in capsys.readouterr().err


def test_a_checkpoint_that_a_training_would_go_on_from_stays(there: Path) -> None:
    interrupted(there, "a", n=1)
    before = names(there)
    pointer = next(there.rglob("newest.json"))
    (pointer.parent / "other" / "old").parent.mkdir()
    (pointer.parent / "other" / "old").write_bytes(b"of a machine that died")
    age(there)
    assert gc(there, "--delete") == 0
    assert names(there) == before
    artifact = there / "weights" / pointer.parent.name.removesuffix(".partial") / MANIFEST
    artifact.parent.mkdir()
    artifact.write_text(json.dumps({"at": "x"}))
    assert gc(there, "--delete") == 0
    assert not list(there.rglob("newest.json")), "the artifact exists, so nobody goes on"


def test_what_names_files_and_can_not_be_read_frees_nothing(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(there, n=1)
    next(there.rglob(MANIFEST)).write_text("{")
    age(there)
    before = names(there)
    assert gc(there, "--delete") == 2
    assert "not written by limo-ablate, so nothing is freed" in capsys.readouterr().err
    assert names(there) == before
