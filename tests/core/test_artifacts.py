"""The store: nothing twice, whole or not at all, resumable."""

import json
import multiprocessing
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from limo_ablate.core import artifacts
from limo_ablate.core.artifacts import Store


def write(text: str):
    def make(folder: Path) -> None:
        (folder / "text").write_text(text)

    return make


def test_an_existing_artifact_is_not_built_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.build("stage", {"a": 1}, write("one"))
    again = store.build("stage", {"a": 1}, write("two"))
    assert again == first
    assert (again.path / "text").read_text() == "one"


def test_key_follows_inputs_version_and_the_bytes_of_earlier_artifacts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    one, same, two = (store.build("a", {"i": i}, write(t)) for i, t in enumerate(["x", "x", "y"]))
    keys = [store.build("b", {"from": a}, write("z")).key for a in (one, same, two)]
    assert keys[0] == keys[1] != keys[2]
    monkeypatch.setattr(artifacts, "STAGE_VERSIONS", {"b": 2})
    assert store.build("b", {"from": one}, write("z")).key != keys[0]


def test_after_a_failed_build_the_next_starts_clean(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def broken(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.build("stage", {}, broken)
    assert store.find("stage", {}) is None
    artifact = store.build("stage", {}, write("whole"))
    assert sorted(p.name for p in artifact.path.iterdir()) == ["artifact.json", "text"]


def test_a_resumable_build_finds_its_earlier_files(tmp_path: Path) -> None:
    store = Store(tmp_path)
    seen = []

    def make(folder: Path) -> None:
        seen.append((folder / "half").exists())
        (folder / "half").write_text("half")
        if len(seen) == 1:
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        store.build("stage", {}, make, resume=True)
    store.build("stage", {}, make, resume=True)
    assert seen == [False, True]


def _build_slowly(root: Path, counter: Path) -> None:
    def make(folder: Path) -> None:
        with counter.open("a") as file:
            file.write("made\n")
        time.sleep(0.3)
        (folder / "text").write_text(str(os.getpid()))

    Store(root).build("stage", {}, make)


@pytest.mark.slow
def test_several_processes_build_an_artifact_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_build_slowly, args=(tmp_path / "s", tmp_path / "n")) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert (tmp_path / "n").read_text() == "made\n"


def test_a_damaged_artifact_is_detected_and_built_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)

    def make(folder: Path) -> None:
        write("whole")(folder)
        (folder / "train.json").write_text("{}")

    artifact = store.build("stage", {}, make)
    for file, content in {"text": "whelo", "train.json": "{", "artifact.json": "{"}.items():
        caplog.clear()
        (artifact.path / file).write_text(content)
        assert store.find("stage", {}) is None
        again = store.build("stage", {}, make)
        assert f"{artifact.path} is damaged" in caplog.text
        assert again.digest == artifact.digest
        assert (again.path / "text").read_text() == "whole"
        assert sorted(p.name for p in artifact.path.iterdir()) == ["artifact.json", "text", "train.json"]
    (artifact.path / ".nfs0001").write_text("a file that was open when it was replaced")
    assert store.find("stage", {}) == again
    (artifact.path / "text").unlink()
    assert store.find("stage", {}) is None


def test_a_copied_artifact_is_hashed_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    artifact = store.build("stage", {}, write("whole"))
    os.utime(artifact.path / "text", (1, 1))
    assert store.find("stage", {}) == artifact
    monkeypatch.setattr("limo_ablate.core.manifest.digest_folder", None)
    assert store.find("stage", {}) == artifact, "its bytes are not read again"


def test_every_file_of_a_folder_outside_the_store_counts(tmp_path: Path) -> None:
    """`train.json` is left out of digests of our own artifacts only, where it holds timings."""
    folder, store = tmp_path / "data", Store(tmp_path / "store")
    folder.mkdir()
    store.root.mkdir()
    (folder / "train.json").write_text("[1]")
    before = store.path_digest(folder)
    (folder / "train.json").write_text("[2]")
    assert store.path_digest(folder) != before


def test_a_link_to_another_file_of_the_same_size_and_time_counts(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (1, 1))
    link, store = tmp_path / "link", Store(tmp_path / "store")
    store.root.mkdir()
    link.symlink_to(tmp_path / "a")
    before = store.path_digest(link)
    link.unlink()
    link.symlink_to(tmp_path / "b")
    assert store.path_digest(link) != before


def test_an_artifact_of_an_earlier_version_is_found(tmp_path: Path) -> None:
    """Its manifest lacks the time and the code; weights are not trained again for that."""
    store = Store(tmp_path)
    made = store.build("weights", {}, write("weights"))
    manifest = json.loads((made.path / "artifact.json").read_text())
    del manifest["made"], manifest["code"], manifest["packages"]
    (made.path / "artifact.json").write_text(json.dumps(manifest))
    found = store.build("weights", {}, write("others"))
    assert (found.digest, found.made, found.code, found.packages) == (made.digest, None, None, None)


def test_an_artifact_keeps_the_versions_that_built_it(tmp_path: Path) -> None:
    made = Store(tmp_path).build("weights", {}, write("weights"))
    assert made.packages is not None
    assert made.packages["python"] == platform.python_version()
    assert made.packages["torch"] == version("torch")


def test_a_file_is_read_once_in_a_process_where_no_store_keeps_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, store = tmp_path / "rows.jsonl", Store(tmp_path / "none")
    file.write_text("{}")
    first = store.path_digest(file)
    monkeypatch.setattr(artifacts, "digest_file", lambda _: 1 / 0)
    assert store.path_digest(file) == first
    file.write_text("[]")
    with pytest.raises(ZeroDivisionError):
        store.path_digest(file)
