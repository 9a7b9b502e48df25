"""The store at s3://..., against moto's server on loopback, with faults; CI_S3=1 after `make s3-env`."""

import hashlib
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.errors import StoreUnreachable, UserError
from limo_ablate.core.remote.object_store import ObjectStore
from limo_ablate.core.remote.store import RemoteStore
from tests.s3 import BUCKET, MOTO, Line, Server, is_wanted
from tests.trial.test_store_at_url import check_found_on_another_machine

pytestmark = pytest.mark.skipif(not is_wanted(), reason="runs with CI_S3=1, after `make s3-env`")
BIG = 20 * 2**20


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    assert MOTO.exists(), "make s3-env"
    started = Server()
    yield started
    started.stop()


@pytest.fixture
def line(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    opened = Line(server)
    for name, value in opened.environment.items():
        monkeypatch.setenv(name, value)
    yield opened
    opened.close()


@pytest.fixture
def url() -> str:
    return f"s3://{BUCKET}/{uuid4().hex}"


def machine(url: str, folder: Path, patience: float = 60) -> RemoteStore:
    return RemoteStore(ObjectStore(url, patience=patience), folder, 1.0)


def write(folder: Path) -> None:
    (folder / "small").write_text("small")
    (folder / "big").write_bytes(os.urandom(BIG))


def never(folder: Path) -> None:
    raise AssertionError("it is made already")


def digest(artifact: Artifact) -> str:
    return hashlib.sha256((artifact.path / "big").read_bytes()).hexdigest()


def check_passed_on(url: str, folder: Path) -> None:
    made = machine(url, folder / "a").build("stage", {}, write)
    found = machine(url, folder / "b").build("stage", {}, never)
    assert digest(found) == digest(made)
    assert found.digest == made.digest


def test_files_in_parts_come_whole(line: Line, url: str, tmp_path: Path) -> None:
    check_passed_on(url, tmp_path)


def test_a_third_of_requests_fail(line: Line, url: str, tmp_path: Path) -> None:
    line.errors = 0.3
    check_passed_on(url, tmp_path)


def test_a_third_of_connections_are_cut(line: Line, url: str, tmp_path: Path) -> None:
    line.torn = 0.3
    check_passed_on(url, tmp_path)


def test_a_slow_line(line: Line, url: str, tmp_path: Path) -> None:
    line.pause = 0.01
    check_passed_on(url, tmp_path)


def test_a_store_that_is_away_for_30_seconds(
    line: Line, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine(url, tmp_path / "a").build("stage", {}, write)
    line.go_away(30)
    started = time.monotonic()
    machine(url, tmp_path / "b").build("stage", {}, never)
    assert 25 < time.monotonic() - started < 60
    assert len([message for message in caplog.messages if "waiting up to 60 s" in message]) == 1
    line.go_away(5)
    with pytest.raises(StoreUnreachable, match=r"could not be used for \d s"):
        machine(url, tmp_path / "c", patience=1).build("stage", {}, never)
    time.sleep(6)


def test_a_bucket_that_is_not_there(line: Line, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="NoSuchBucket"):
        machine("s3://nobucket/x", tmp_path, patience=5).build("stage", {}, write)


def _make(url: str, folder: Path, barrier: object, results: object) -> None:
    def make(partial: Path) -> None:
        barrier.wait()  # type: ignore[attr-defined]
        write(partial)

    made = machine(url, folder).build("stage", {}, make)
    results.put((made.digest, digest(made)))  # type: ignore[attr-defined]


def test_makers_at_once_agree(line: Line, url: str, tmp_path: Path) -> None:
    line.errors = 0.1
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    folders = [tmp_path / str(number) for number in range(3)]
    makers = [context.Process(target=_make, args=(url, folder, barrier, results)) for folder in folders]
    for maker in makers:
        maker.start()
    found = {results.get(timeout=100) for _ in makers}
    for maker in makers:
        maker.join()
    assert len(found) == 1
    left = [name for name in ObjectStore(url).names("stage") if name.endswith("/big")]
    assert len(left) == 1, "the losers' files are removed"


def test_a_whole_trial_is_found_on_another_machine(line: Line, url: str, tmp_path: Path) -> None:
    line.errors = 0.05
    check_found_on_another_machine(tmp_path, url)
