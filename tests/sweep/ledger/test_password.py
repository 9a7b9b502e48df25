"""The password of a database is where PostgreSQL's own clients look for it, and nowhere else."""

import time
from pathlib import Path

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.sweep.ledger.ledger import Ledger
from tests.postgres import Postgres

PASSWORD = "correct horse"  # noqa: S105


@pytest.fixture
def url(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    return postgres.database(PASSWORD)


def test_the_environment_or_a_file_gives_the_password(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pgpass").write_text(f"*:*:*:{url.partition('://')[2].partition('@')[0]}:{PASSWORD}\n")
    (tmp_path / "pgpass").chmod(0o600)
    Ledger(url, "small").rows()
    (tmp_path / "pgpass").unlink()
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    Ledger(url, "small").rows()


@pytest.mark.parametrize("wrong", [None, "battery"])
def test_one_line_says_where_it_belongs_and_nothing_is_waited_for(
    wrong: str | None, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if wrong:
        monkeypatch.setenv("PGPASSWORD", wrong)
    began = time.monotonic()
    with pytest.raises(
        UserError, match=r"^ledger=.*password.*; set PGPASSWORD, or add a line to ~/.pgpass"
    ) as error:
        Ledger(url, "small").rows()
    assert time.monotonic() - began < 10
    assert "\n" not in str(error.value)
