"""The contract of the ledger, over every kind of storage that runs here."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from limo_ablate.errors import UserError
from limo_ablate.sweep.cells import Cell, cells
from limo_ablate.sweep.design import Block, Study
from limo_ablate.sweep.ledger import INTERRUPTED, Ledger, mend

METRICS = {
    "scores": {"mini": {"accuracy": 0.25, "stderr": 0.05}, "mini/hard": {"accuracy": 0.0}},
    "total_seconds": 12.5,
    "artifacts": {"weights": {"key": "w1", "digest": "d1"}},
}
Opener = Callable[[], Ledger]


def grid(**axes: tuple[object, ...]) -> list[Cell]:
    named = {f"select.{axis}": levels for axis, levels in axes.items()}
    return cells(Study(name="s", blocks=(Block(name="b", axes=named),), overrides=("track=none",)))


@pytest.fixture(params=["journal", "sqlite"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens the same ledger anew each time, as another process would."""
    url = tmp_path / "ledger.log" if request.param == "journal" else f"sqlite:///{tmp_path}/ledger.db"
    return lambda: Ledger(url, "s")


def add(ledger: Ledger, found: list[Cell], attempt: int = 1) -> list[int]:
    space = ledger.space(found)
    return [ledger.add(cell, attempt, space) for cell in found]


def rows(ledger: Ledger) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="s", storage=ledger.storage).trials


def test_cells_wait_with_their_levels_as_parameters(opened: Opener) -> None:
    add(opened(), grid(size=(4, 16), quality=("L1", "L5")))
    found = rows(opened())
    assert [row.state for row in found] == [TrialState.WAITING] * 4
    assert found[1].params == {"select.size": 4, "select.quality": "L5", "seed": 0}
    assert found[1].user_attrs["cell"] == "size4-L5-s0"


def test_a_trial_is_claimed_once(opened: Opener) -> None:
    trials = add(opened(), grid(size=tuple(range(1, 11))))
    ledgers = [opened() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        claims = pool.map(lambda ledger: [t for t in trials if ledger.claim(t)], ledgers)
    assert sorted(t for claimed in claims for t in claimed) == trials


def test_what_happened_is_found_again(opened: Opener) -> None:
    found = grid(size=(1, 2, 3, 4, 5))
    ledger = opened()
    waiting, running, done, failed, interrupted = add(ledger, found)
    for trial in (running, done, failed, interrupted):
        assert ledger.claim(trial)
    ledger.finish(done, METRICS, Path("folder"))
    ledger.fail(failed, "out of memory", log="trial.log")
    ledger.fail(interrupted, "its runner died", **{INTERRUPTED: True})
    histories = opened().histories()
    one, two, three, four, five = (histories[cell.key] for cell in found)
    assert (one.waiting, one.running, one.done, one.failures) == (waiting, None, False, [])
    assert two.running == running
    assert three.done
    assert four.failures == ["out of memory"]
    assert five.failures == []


def test_a_finished_trial_holds_its_result(opened: Opener) -> None:
    ledger = opened()
    (trial,) = add(ledger, grid(size=(4,)))
    ledger.claim(trial)
    ledger.finish(trial, METRICS, Path("trials/x"))
    (row,) = rows(opened())
    assert (row.state, row.value) == (TrialState.COMPLETE, 0.25)
    assert row.user_attrs["scores"] == {"accuracy": 0.25, "stderr": 0.05}
    assert row.user_attrs["artifacts"] == {"weights": "w1"}
    assert (row.user_attrs["seconds"], row.user_attrs["folder"]) == (12.5, "trials/x")


def test_a_released_trial_can_be_claimed_again(opened: Opener) -> None:
    ledger = opened()
    (trial,) = add(ledger, grid(size=(4,)))
    assert ledger.claim(trial)
    assert not opened().claim(trial)
    ledger.release(trial)
    assert opened().claim(trial)


def test_axes_grow_and_the_old_rows_stay(opened: Opener) -> None:
    add(opened(), grid(size=(4, 16), quality=("L1", "L5")))
    grown = grid(size=(4, 16, 64), quality=("L1", "L3", "L5"))
    ledger = opened()
    new = [cell for cell in grown if cell.key not in ledger.histories()]
    add(ledger, new)
    assert set(opened().histories()) == {cell.key for cell in grown}
    assert {row.params["select.size"] for row in rows(ledger)} == {4, 16, 64}


def test_an_axis_may_mix_kinds_of_levels(opened: Opener) -> None:
    add(opened(), grid(size=(4, None), difficulty=("any", 0.5, "hard")))
    assert {row.params["select.size"] for row in rows(opened())} == {4, None}


def test_the_mark_of_a_study_stays_and_is_its_own(opened: Opener, tmp_path: Path) -> None:
    assert opened().mark == opened().mark
    assert Ledger(tmp_path / "other.log", "s").mark != opened().mark


def test_opening_a_ledger_again_writes_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "ledger.log"
    add(Ledger(journal, "s"), grid(size=(4,)))
    before = journal.read_bytes()
    Ledger(journal, "s").histories()
    assert journal.read_bytes() == before


def test_a_torn_line_and_a_stale_lock_are_mended(tmp_path: Path) -> None:
    journal = tmp_path / "ledger.log"
    found = grid(size=(4, 16, 64))
    add(Ledger(journal, "s"), found[:2])
    content = journal.read_bytes()
    journal.write_bytes(content[:-20])
    Path(f"{journal}.lock").symlink_to(journal)
    mended = Ledger(mend(journal), "s")
    assert set(mended.histories()) == {found[0].key}
    add(mended, found[1:])
    assert set(Ledger(journal, "s").histories()) == {cell.key for cell in found}


def test_a_wrong_url_is_a_users_error(tmp_path: Path) -> None:
    for url in ("nosuch://host/x", f"sqlite:///{tmp_path}/no/folder.db"):
        with pytest.raises(UserError, match=r"ledger=.*can't be opened"):
            Ledger(url, "s")
