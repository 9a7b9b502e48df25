"""Files of a store that several users share, and the line that says who may not write where."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from limo_ablate.core.artifacts import Store
from limo_ablate.core.command import Verb, run
from limo_ablate.core.errors import UserError
from limo_ablate.core.files import write_atomically
from limo_ablate.core.permissions import check_writable, denied, use_umask
from limo_ablate.sweep.ledger.flock import coordinator
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.ledger.ledger import LEDGER, Ledger
from limo_ablate.trial.compose import compose


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_a_group_may_write_all_that_is_made(tmp_path: Path) -> None:
    use_umask("002")
    store, folder = Store(tmp_path / "store"), tmp_path / "studies" / "made"
    store.build("pool", {}, lambda made: write_atomically(made / "pool.json", "{}"))
    with coordinator(folder), Lease(folder):
        Ledger(folder / LEDGER, "made")
        made = [path for path in tmp_path.rglob("*") if not path.is_symlink()]
        assert {path.suffix for path in made} >= {".json", ".lock", ".log"}
        for path in made:
            assert path.stat().st_mode & 0o060 == 0o060, path


def test_without_it_the_shell_decides(tmp_path: Path) -> None:
    use_umask(None)
    write_atomically(tmp_path / "file", "")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("wrong", ["'2'", "23", "'9'", "abc", "'0o002'"])
def test_a_umask_has_three_digits(wrong: str) -> None:
    with pytest.raises(UserError, match=r"paths\.umask"):
        compose([f"paths.umask={wrong}"])
    assert compose(["paths.umask='027'"]).paths.umask == "027"
    with pytest.raises(UserError, match="lets every user of the machine change results"):
        compose(["paths.umask='000'"])


def test_who_may_not_write_is_told_whose_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "store").mkdir(mode=0o755)
    check_writable(tmp_path / "store/pool", "paths.artifacts")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    message = r"paths\.artifacts=.*store/pool: you may not write to .*/store \(of user \w+, group \w+, drwx"
    with pytest.raises(UserError, match=message):
        check_writable(tmp_path / "store/pool", "paths.artifacts")


def test_a_verb_that_is_denied_says_whose_file_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (file := tmp_path / "coordinator.lock").touch()

    @click.command("look", cls=Verb, examples=[])
    def look() -> int:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(os, "getuid", lambda: file.stat().st_uid + 1)
    assert run(look, []) == 2
    assert f"{denied(file, 'Permission denied')}\n" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["..", "a/b", "/etc", "x" * 201])
def test_the_name_of_a_pool_is_part_of_a_folders(name: str) -> None:
    with pytest.raises(UserError, match="part of a folder's name"):
        compose([f"data.name={name}"])
