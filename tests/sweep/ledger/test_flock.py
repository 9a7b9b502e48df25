"""A file system without locks is a user's error, told where it is first noticed."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.sweep.ledger.flock import coordinator, flock
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.ledger.ledger import Ledger


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel says on such a file system, which none here is."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("without")
@pytest.mark.parametrize(
    ("take", "folder"),
    [
        (lambda root: coordinator(root).__enter__(), ""),
        (lambda root: Lease(root).__enter__(), "/runners"),
        (lambda root: Ledger(root / "ledger.log", "s"), ""),
    ],
)
def test_the_folder_is_named_and_what_to_do(
    tmp_path: Path, take: Callable[[Path], object], folder: str
) -> None:
    told = rf"^{tmp_path}{folder}: its file system has no locks .* set paths.studies to"
    with pytest.raises(UserError, match=told):
        take(tmp_path)


def test_one_holds_it_and_the_other_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("a") as one, path.open("a") as other:
        assert flock(one, path)
        assert not flock(other, path)
    with path.open("a") as third:
        assert flock(third, path)
