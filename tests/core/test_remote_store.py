"""The store at a URL: whole or not there, one winner, checked on the way in, waited for, bounded here."""

import fcntl
import json
import logging
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore, MemoryStore

from limo_ablate.core.artifacts import NotInStore, Store, find_only
from limo_ablate.core.errors import StoreUnreachable, TrialFailure, UserError
from limo_ablate.core.remote import checkpoints as remote_checkpoints
from limo_ablate.core.remote import lines as remote_lines
from limo_ablate.core.remote import object_store
from limo_ablate.core.remote.object_store import ObjectStore, check_url, store_folder
from limo_ablate.core.remote.store import RemoteStore

URL = "s3://bucket/place"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "PAUSES", (0.01,))
    monkeypatch.setattr(object_store, "SAID_AFTER", 0.02)
    monkeypatch.setattr(remote_checkpoints, "LOOK_SECONDS", 0.01)


@pytest.fixture(params=["memory", "file"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path / "there", mkdir=True)


def machine(client: Any, folder: Path, gigabytes: float = 1.0, patience: float = 0.5) -> RemoteStore:
    """The store as a machine with a folder of its own sees it."""
    return RemoteStore(ObjectStore(URL, client, patience), folder, gigabytes)


def write(text: str, name: str = "text"):
    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        (folder / "train.json").write_text(json.dumps(time.time()))

    return make


def never(folder: Path) -> None:
    raise AssertionError("it is made already")


def objects(client: Any) -> list[str]:
    return sorted(one["path"] for one in client.list().collect())


def test_what_one_machine_made_the_others_find(client: Any, tmp_path: Path) -> None:
    made = machine(client, tmp_path / "a").build("stage", {"a": 1}, write("one", "in/text"))
    found = machine(client, tmp_path / "b").build("stage", {"a": 1}, never)
    assert found.identity() == made.identity()
    assert (found.path / "in/text").read_text() == "one"
    assert (found.path / "train.json").read_bytes() == (made.path / "train.json").read_bytes()
    assert Store(tmp_path / "b").find("stage", {"a": 1}) == found, "as good as one that is made here"
    again = machine(client, tmp_path / "b", patience=0)
    client.delete(objects(client))
    assert again.find("stage", {"a": 1}) == found, "a copy here needs no store"


def test_files_come_only_when_they_are_asked_for(client: Any, tmp_path: Path) -> None:
    machine(client, tmp_path / "a").build("stage", {}, write("one"))
    with find_only():
        found = machine(client, tmp_path / "b").find("stage", {})
    assert found
    assert found.has("text")
    assert not found.has("other")
    assert not found.folder.exists()
    assert found.path.exists()


def test_an_artifact_without_its_manifest_is_not_there(client: Any, tmp_path: Path) -> None:
    machine(client, tmp_path / "a").build("stage", {}, write("one"))
    (manifest,) = (name for name in objects(client) if name.endswith("artifact.json"))
    client.delete(manifest)
    other = machine(client, tmp_path / "b")
    assert other.find("stage", {}) is None
    with find_only(), pytest.raises(NotInStore):
        other.find("stage", {})


def test_of_two_makers_the_first_wins_and_the_other_takes_its(client: Any, tmp_path: Path) -> None:
    other = machine(client, tmp_path / "b")

    def overtaken(folder: Path) -> None:
        write("mine")(folder)
        other.build("stage", {}, write("theirs"))

    mine = machine(client, tmp_path / "a").build("stage", {}, overtaken)
    assert (mine.path / "text").read_text() == "theirs"
    assert mine.digest == other.build("stage", {}, never).digest
    assert len([name for name in objects(client) if name.endswith("/text")]) == 1, "the loser's are removed"


def test_many_makers_at_once_agree(client: Any, tmp_path: Path) -> None:
    barrier, found = threading.Barrier(8), []

    def work(number: int) -> None:
        def make(folder: Path) -> None:
            barrier.wait()
            write(str(number))(folder)

        found.append(machine(client, tmp_path / str(number)).build("stage", {}, make))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({(one.path / "text").read_text() for one in found}) == 1
    assert len(found) == 8


class Faulty:
    """Stands in for obstore's functions, and does something else at some calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import obstore

        self.calls: list[str] = []
        self.fail: dict[str, Any] = {}
        for name in ("get", "get_range", "put", "head", "list", "delete"):
            monkeypatch.setattr(obstore, name, self._wrapped(name, getattr(obstore, name)))

    def _wrapped(self, name: str, real: Any) -> Any:
        def call(*args: Any, **settings: Any) -> Any:
            self.calls.append(name)
            if fault := self.fail.get(name):
                return fault(real, *args, **settings)
            return real(*args, **settings)

        return call


def away(*_: object, **__: object) -> None:
    from obstore.exceptions import GenericError

    raise GenericError("connection refused\n\nDebug source: ...")


def test_a_store_that_is_away_is_never_an_artifact_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = MemoryStore()
    machine(client, tmp_path / "a").build("stage", {}, write("one"))
    faulty = Faulty(monkeypatch)
    faulty.fail = {"get": away}
    with pytest.raises(
        StoreUnreachable, match=r"could not be used for \d s: connection refused; nothing is lost"
    ):
        machine(client, tmp_path / "b", patience=0.1).build("stage", {}, never)
    assert len([line for line in caplog.messages if "waiting up to" in line]) == 1

    left = time.monotonic() + 0.2
    faulty.fail = {"get": lambda real, *a, **k: away() if time.monotonic() < left else real(*a, **k)}
    found = machine(client, tmp_path / "b", patience=5).build("stage", {}, never)
    assert (found.path / "text").read_text() == "one"


def test_a_refusal_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty = Faulty(monkeypatch)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError("403 Forbidden")

    faulty.fail = {"get": denied}
    started = time.monotonic()
    with pytest.raises(UserError, match=r"refuses: 403 Forbidden; see AWS_ACCESS_KEY_ID"):
        machine(MemoryStore(), tmp_path, patience=60).find("stage", {})
    assert time.monotonic() - started < 1


def test_a_manifest_that_seemed_not_to_arrive_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, faulty, failed = MemoryStore(), Faulty(monkeypatch), []

    def answer_lost(real: Any, store: Any, name: str, *args: Any, **settings: Any) -> Any:
        real(store, name, *args, **settings)
        if settings.get("mode") == "create" and name.endswith("artifact.json") and not failed:
            failed.append(name)
            away()

    faulty.fail = {"put": answer_lost}
    made = machine(client, tmp_path).build("stage", {}, write("one"))
    assert failed
    assert (made.path / "text").read_text() == "one"
    assert any(name.endswith("/text") for name in objects(client))


def test_a_torn_upload_is_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, faulty, torn = MemoryStore(), Faulty(monkeypatch), []

    def tear(real: Any, store: Any, name: str, content: Any, **settings: Any) -> Any:
        if name.endswith("/text") and not torn:
            torn.append(name)
            content = b"o"
        return real(store, name, content, **settings)

    faulty.fail = {"put": tear}
    machine(client, tmp_path / "a").build("stage", {}, write("one"))
    assert torn
    assert (machine(client, tmp_path / "b").build("stage", {}, never).path / "text").read_text() == "one"


def test_a_damaged_artifact_is_made_again_at_the_next_attempt(client: Any, tmp_path: Path) -> None:
    machine(client, tmp_path / "a").build("stage", {}, write("one"))
    (file,) = (name for name in objects(client) if name.endswith("/text"))
    client.put(file, b"0ne")
    other = machine(client, tmp_path / "b")
    with pytest.raises(TrialFailure, match=r"is damaged: .*text is not what its maker sent; run it again"):
        _ = other.build("stage", {}, never).path
    assert (other.build("stage", {}, write("one")).path / "text").read_text() == "one"
    assert any(".damaged-" in name for name in objects(client))


def test_a_manifest_that_we_did_not_write_is_refused(client: Any, tmp_path: Path) -> None:
    made = machine(client, tmp_path / "a").build("stage", {}, write("one"))
    name = f"stage/{made.key}/artifact.json"
    manifest = json.loads(bytes(client.get(name).bytes()))
    outside = manifest | {"objects": {f"../../{tmp_path.name}": manifest["objects"]["text"]}}
    for number, content in enumerate((b"<html>log in</html>", outside, manifest | {"digest": "0" * 64})):
        client.put(name, content if isinstance(content, bytes) else json.dumps(content).encode())
        with pytest.raises(UserError, match=f"{name}: .*did not write it"):
            machine(client, tmp_path / f"b{number}").find("stage", {})


def test_an_emptied_or_another_store_is_told(client: Any, tmp_path: Path) -> None:
    machine(client, tmp_path / "a").build("stage", {}, write("one"))
    client.delete(objects(client))
    with pytest.raises(UserError, match=f"it is empty, and was not before.*remove {tmp_path / 'a'}"):
        machine(client, tmp_path / "a").find("stage", {"other": 1})
    machine(client, tmp_path / "b").build("stage", {}, write("one"))
    with pytest.raises(UserError, match="another store is there"):
        machine(client, tmp_path / "a").find("stage", {"other": 1})


def test_digests_of_files_outside_stay_here(client: Any, tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("rows")
    store = machine(client, tmp_path / "a")
    store.root.mkdir()
    store.path_digest(tmp_path / "rows")
    assert not any(name.startswith("digest") for name in objects(client))
    assert list((tmp_path / "a/digest").glob("*/digest"))


def test_copies_used_longest_ago_make_room_but_none_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client, big = MemoryStore(), "x" * 10_000
    for number in range(4):
        store = machine(client, tmp_path / "a", gigabytes=25e-6)  # another process each time
        store.build("stage", {"n": number}, write(f"{number}{big}"))
        os.utime(tmp_path / "a/stage" / f"{store.find('stage', {'n': number}).key}.used", (number, number))
        for held in store._copies._held.values():
            fcntl.flock(held, fcntl.LOCK_UN)  # its process has ended
    whole = [path for path in (tmp_path / "a/stage").iterdir() if path.is_dir()]
    assert len(whole) == 2
    user = machine(client, tmp_path / "a", gigabytes=25e-6)
    texts = [user.find("stage", {"n": n}).path / "text" for n in range(4)]
    assert [file.read_text()[0] for file in texts] == ["0", "1", "2", "3"], "fetched again, and all in use"
    assert "over paths.cache_gb" in caplog.text


def checkpoint(folder: Path, step: int, text: str) -> None:
    partial = folder / "checkpoints" / "partial"
    partial.mkdir(parents=True)
    (partial / "state").write_text(text)
    partial.rename(folder / "checkpoints" / f"step-{step:08d}")
    for old in sorted((folder / "checkpoints").glob("step-*"))[:-2]:
        shutil.rmtree(old)


def wait_for(client: Any, text: str) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        names = [name for name in objects(client) if name.endswith("newest.json")]
        if names and text in bytes(client.get(names[0]).bytes()).decode():
            return
        time.sleep(0.01)
    raise AssertionError(f"{text} did not arrive")


class Killed(BaseException):
    pass


FOLDERS = {"resume": True, "checkpoints": ("checkpoints", "at")}


def test_a_training_goes_on_on_another_machine(client: Any, tmp_path: Path) -> None:
    def killed(folder: Path) -> None:
        for step in (1, 2, 3):
            (folder / "at" / f"step-{step}").mkdir(parents=True)
            (folder / "at" / f"step-{step}" / "kept").write_text(str(step))
            checkpoint(folder, step, f"after {step}")
            (folder / "log").write_text("of this machine")
            wait_for(client, f"step-{step:08d}")
        raise Killed

    def resumed(folder: Path) -> None:
        assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-00000003"]
        assert (folder / "checkpoints/step-00000003/state").read_text() == "after 3"
        assert [(folder / f"at/step-{n}/kept").read_text() for n in (1, 2, 3)] == ["1", "2", "3"]
        assert not (folder / "log").exists()
        shutil.rmtree(folder / "checkpoints")
        (folder / "weights").write_text("trained")

    with pytest.raises(Killed):
        machine(client, tmp_path / "a").build("weights", {}, killed, **FOLDERS)
    assert len([name for name in objects(client) if ".partial/" in name]) == 5, "old checkpoints are removed"
    machine(client, tmp_path / "b").build("weights", {}, resumed, **FOLDERS)
    assert not any(".partial" in name for name in objects(client))
    machine(client, tmp_path / "a").build("weights", {}, never, **FOLDERS)


def test_a_newer_checkpoint_here_counts_and_one_that_is_asked_to_end_is_sent(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_checkpoints, "LOOK_SECONDS", 60)  # only the last one is sent, at the end
    for name, steps in (("a", (1,)), ("b", (2, 3))):

        def ended(folder: Path, steps: tuple[int, ...] = steps) -> None:
            for step in steps:
                checkpoint(folder, step, f"after {step}")
            raise Killed

        with pytest.raises(Killed):
            machine(client, tmp_path / name).build("weights", {}, ended, **FOLDERS)
    seen = []

    def look(folder: Path) -> None:
        seen.append(max(path.name for path in (folder / "checkpoints").iterdir()))
        raise Killed

    for name in ("a", "b", "c"):
        with pytest.raises(Killed):
            machine(client, tmp_path / name).build("weights", {}, look, **FOLDERS)
    assert seen == ["step-00000003"] * 3


def test_a_store_that_is_away_does_not_stop_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client, faulty = MemoryStore(), Faulty(monkeypatch)

    def make(folder: Path) -> None:
        faulty.fail = {"put": away}
        checkpoint(folder, 1, "one")
        deadline = time.monotonic() + 10
        while "step-00000001 is not at the store" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
        faulty.fail = {}
        shutil.rmtree(folder / "checkpoints")
        write("trained")(folder)

    made = machine(client, tmp_path, patience=0.05).build("weights", {}, make, **FOLDERS)
    assert "step-00000001 is not at the store" in caplog.text
    assert (made.path / "text").read_text() == "trained"


def test_lines_of_all_machines_come_together(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(remote_lines, "BATCH_LINES", 2)
    file = tmp_path / "drawn" / "key.jsonl"
    first, second = (machine(client, tmp_path / name).lines(file) for name in "ab")
    for line in (b"1\n", b"2\n", b"3\n"):
        first.add(line)
    assert second.read() == [b"1\n", b"2\n"], "a batch is there as soon as it is full"
    first.close(patiently=True)
    second.add(b"4\n")
    second.close(patiently=True)
    assert machine(client, tmp_path / "c").lines(file).read() == [b"1\n", b"2\n", b"3\n", b"4\n"]

    faulty = Faulty(monkeypatch)
    faulty.fail = {"put": away}
    with caplog.at_level(logging.WARNING):
        first.add(b"5\n")
        first.add(b"6\n")
    assert "2 completions are not at the store yet" in caplog.text
    faulty.fail = {}
    first.close(patiently=True)
    assert second.read()[-2:] == [b"5\n", b"6\n"]


@pytest.mark.parametrize(
    "url",
    ["s3://user:key@bucket/x", "https://host/x", "s3:///x", "file://folder", "s3://b/../x", "s3://b/x?y=1"],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(UserError, match=r"^paths\.artifacts"):
        check_url(url, "paths.artifacts")


def test_each_url_has_copies_of_its_own() -> None:
    urls = ("s3://aa/b-c", "s3://aa-b/c", "gs://aa/b-c", "file:///aa/b-c")
    for url in urls:
        check_url(url, "paths.artifacts")
    assert len({store_folder(url, "cache") for url in urls}) == 4
    assert store_folder("outputs/artifacts", "cache") == Path("outputs/artifacts")
