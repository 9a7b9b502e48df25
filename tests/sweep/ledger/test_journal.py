import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from limo_ablate.sweep.ledger.journal import Journal
from limo_ablate.sweep.ledger.ledger import Ledger
from tests.ledgers import METRICS, add, grid, hold


def test_opening_a_ledger_again_writes_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "ledger.log"
    add(Ledger(journal, "s"), grid(size=(4,)))
    before = journal.read_bytes()
    Ledger(journal, "s").histories()
    assert journal.read_bytes() == before


def test_a_torn_line_is_mended_by_the_next_who_writes(tmp_path: Path) -> None:
    journal = tmp_path / "ledger.log"
    found = grid(size=(4, 16, 64))
    add(Ledger(journal, "s"), found[:2])
    journal.write_bytes(journal.read_bytes()[:-20])
    mended = Ledger(journal, "s")
    assert set(mended.histories()) == {found[0].key}
    add(mended, found[1:])
    assert set(mended.histories()) == set(Ledger(journal, "s").histories()) == {trial.key for trial in found}


def test_a_transaction_is_one_lock_and_one_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path / "ledger.log", "s")
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    trials = add(ledger, grid(size=tuple(range(1, 51))))
    assert len(synced) == 1
    ledger.claim(trials[0], "me")
    ledger.finish(trials[0], METRICS, Path("x"))
    assert len(synced) == 3


def test_what_fails_in_a_transaction_frees_the_lock(tmp_path: Path) -> None:
    one, two = (Journal(tmp_path / "ledger.log", patience=0) for _ in range(2))
    with suppress(ZeroDivisionError), one.transaction():
        one.append_logs([{"a": 1}])
        raise ZeroDivisionError
    two.append_logs([{"b": 2}])
    with one.transaction(), pytest.raises(TimeoutError):
        two.append_logs([{"c": 3}])
    assert list(one.read_logs(0)) == [{"a": 1}, {"b": 2}]


def test_a_suspended_writer_is_told_of_and_a_killed_one_is_not_waited_for(tmp_path: Path) -> None:
    journal = tmp_path / "ledger.log"
    Journal(journal).append_logs([{"a": 1}])
    holder = hold(journal)
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(TimeoutError, match=r"another process has held it for 0\.2 s"):
        Journal(journal, patience=0.2).append_logs([{"b": 2}])
    holder.kill()
    holder.wait()
    Journal(journal, patience=0).append_logs([{"b": 2}])
