"""A place for a ledger, of every kind that runs here."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.ledgers import NAMES, Place, Proxy, lock_journal, lock_sqlite, restart
from tests.postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    pytest.importorskip("psycopg", reason="limo-ablate[postgres] is not installed")
    server = Postgres.start_new()
    if server is None:
        pytest.skip("Debian's package postgresql is not installed")
    yield server
    server.remove()


@pytest.fixture(scope="session")
def database(postgres: Postgres) -> str:
    return postgres.database()


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    pytest.importorskip("grpc", reason="limo-ablate[grpc] is not installed")
    proxy = Proxy(f"sqlite:///{tmp_path_factory.mktemp('proxy')}/served.db")
    yield proxy
    proxy.stop()


@pytest.fixture(params=["journal", "sqlite", "postgres", "grpc"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    name = f"s{next(NAMES)}"
    match request.param:
        case "journal":
            return Place(path := tmp_path / "ledger.log", name, partial(lock_journal, path))
        case "sqlite":
            return Place(
                f"sqlite:///{tmp_path}/ledger.db", name, partial(lock_sqlite, tmp_path / "ledger.db")
            )
        case "postgres":
            server = request.getfixturevalue("postgres")
            return Place(request.getfixturevalue("database"), name, partial(restart, server))
    server = request.getfixturevalue("proxy")
    return Place(server.url, name, partial(restart, server))
