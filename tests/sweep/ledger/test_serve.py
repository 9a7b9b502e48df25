"""A ledger for many machines: who has no token gets nothing, and none is served without one."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from limo_ablate.cli import main
from limo_ablate.core.errors import UserError
from limo_ablate.sweep.ledger.ledger import Ledger
from limo_ablate.sweep.ledger.storage import Storage
from tests.ledgers import add, grid
from tests.sweep.sweeping import Sweeping, ended

secured = pytest.importorskip("limo_ablate.sweep.ledger.secured", reason="limo-ablate[grpc] is missing")
SECRET = "0123456789abcdef"  # noqa: S105
EVERYWHERE = "0.0.0.0"  # noqa: S104


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A port, for which this process has a token."""
    port = free_port()
    monkeypatch.setenv(secured.TOKEN, f"{SECRET}@127.0.0.1:{port}")
    return port


@pytest.fixture
def serve(tmp_path: Path, port: int) -> Iterator[Any]:
    started = []

    def start(pair: tuple[bytes, bytes] | None = None) -> None:
        database = Storage(f"sqlite:///{tmp_path}/ledger.db").optuna
        started.append(secured.start_server(database, "127.0.0.1", port, SECRET, pair))

    yield start
    for server in started:
        server.stop(None)


def open_ledger(url: str, patience: float = 20.0) -> Ledger:
    return Ledger(url, "s", patience)


def test_who_has_the_token_reads_and_writes(serve: Any, port: int) -> None:
    serve()
    add(open_ledger(f"grpc://127.0.0.1:{port}"), grid(size=(1, 2)))
    assert len(open_ledger(f"grpc://127.0.0.1:{port}").rows()) == 2


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "none is set"),
        ("f" * 16 + "@127.0.0.1:{port}", "the one that is set is not the server's"),
        (SECRET + "@other:{port}", "the one that is set is for other:"),
    ],
)
def test_others_are_told_what_is_missing(
    serve: Any, port: int, value: str | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve()
    monkeypatch.setenv(secured.TOKEN, (value or "").format(port=port))
    with pytest.raises(UserError, match=f"can't be opened: it asks for a token: {why}"):
        open_ledger(f"grpc://127.0.0.1:{port}")


def test_the_token_goes_to_its_own_server_alone(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study of others may name any server."""
    sent: list[Any] = []
    monkeypatch.setattr(secured, "_Sender", lambda headers: sent.append(headers) or _plain(headers))
    secured.SecuredProxy(f"grpc://127.0.0.1:{port}")
    secured.SecuredProxy(f"grpc://127.0.0.1:{port + 1}")
    secured.SecuredProxy(f"grpc://localhost:{port}")
    assert sent == [[("authorization", f"Bearer {SECRET}")], [], []]


_plain = secured._Sender


@pytest.mark.parametrize("value", ["short@h:1", SECRET, f"{SECRET}@host", f"{SECRET}@host:port"])
def test_a_token_of_another_form_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(secured.TOKEN, value)
    with pytest.raises(UserError, match=f"{secured.TOKEN} is not TOKEN@HOST:PORT") as told:
        secured.own_token()
    assert value not in str(told.value)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--host", EVERYWHERE], "beyond this machine the ledger needs a token"),
        (["--host", "head"], "beyond this machine the ledger needs a token"),
        (["--certificate", "x.pem"], "TLS needs both"),
        (["--certificate", "x.pem", "--key", "y.pem"], "y.pem: can't be read"),
        (["grpc://host:1"], "what is served is a database"),
        (["ledger.log"], "what is served is a database"),
        (["postgresql://me:pw@host/x"], "leave the password out"),
    ],
)
def test_what_is_not_served(
    words: list[str], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(secured.TOKEN, raising=False)
    assert main(["ledger", "serve", *words]) == 2
    assert line in capsys.readouterr().err


def test_the_verb_serves_and_says_where(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    servers, start = [], secured.start_server
    monkeypatch.setattr(secured, "start_server", lambda *args: servers.append(start(*args)) or servers[0])
    thread = threading.Thread(
        target=main, args=(["ledger", "serve", "--host", EVERYWHERE, "--port", str(port)],)
    )
    thread.start()
    ledger = open_ledger(f"grpc://127.0.0.1:{port}")
    servers[0].stop(None)
    thread.join()
    told = capsys.readouterr()
    assert f"ledger=grpc://127.0.0.1:{port} serves sqlite:///outputs/ledger.db" in told.out
    assert "without TLS" in told.err
    assert SECRET not in told.out + told.err
    assert ledger
    assert (tmp_path / "outputs" / "ledger.db").exists()


def test_by_tls_with_a_certificate_of_ones_own(
    serve: Any, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=ledger",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    serve((key.read_bytes(), certificate.read_bytes()))
    monkeypatch.setenv(secured.CERTIFICATE, str(certificate))
    add(open_ledger(f"grpcs://127.0.0.1:{port}"), grid(size=(1,)))
    assert len(open_ledger(f"grpcs://127.0.0.1:{port}").rows()) == 1
    with pytest.raises(UserError, match="no server answers, or it is there with TLS"):
        open_ledger(f"grpc://127.0.0.1:{port}", 1)
    monkeypatch.delenv(secured.CERTIFICATE)
    with pytest.raises(UserError, match="no server answers"):
        open_ledger(f"grpcs://127.0.0.1:{port}", 1)


def test_a_sweep_and_a_join_share_the_trials(serve: Any, port: int, tmp_path: Path) -> None:
    serve()
    sweep = Sweeping(tmp_path)
    sweep.declare(quality=("L4",), size=tuple(range(6)))
    first = sweep.start(f"ledger=grpc://127.0.0.1:{port}")
    sweep.until(lambda: len(sweep.events("start")) == 2)
    second = sweep.join()
    sweep.until(lambda: len(sweep.events("start")) == 4)
    sweep.go()
    for process in (first, second):
        code, said = ended(process)
        assert code == 0, said
    assert sweep.starts() == sweep.ends() == {f"L4-size{n}-s0": 1 for n in range(6)}
