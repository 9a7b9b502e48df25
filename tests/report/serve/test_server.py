"""The server of `view` under more connections than a browser makes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from limo_ablate.report.serve import server as serving
from limo_ablate.report.serve.guard import Guard
from limo_ablate.report.serve.server import Server
from tests.waiting import PATIENCE, until


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server of at most four connections, each for half a second."""
    monkeypatch.setattr(serving, "CONNECTIONS", 4)
    monkeypatch.setattr(serving, "LONGEST", 0.5)
    hub: Any = SimpleNamespace(studies=list)
    with Server(("127.0.0.1", 0), hub, Guard("127.0.0.1")) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def answer(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        try:
            connection.sendall(b"GET /api/studies HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return connection.recv(100)
        except ConnectionError:
            return b""


def test_a_flood_of_connections_is_shed_and_ends(port: int) -> None:
    assert b" 200 " in answer(port)
    idle = [socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) for _ in range(4)]
    assert answer(port) == b""  # the fifth is closed at once
    for connection in idle:
        connection.sendall(b"GET / HT")  # and never the rest
        assert connection.recv(100) == b""
        connection.close()
    until(lambda: b" 200 " in answer(port))
