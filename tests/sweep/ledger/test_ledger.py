"""The contract of the ledger, over every kind of storage that runs here."""

from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from limo_ablate.core.errors import UserError
from limo_ablate.sweep.ledger.ledger import FINAL, INTERRUPTED, Ledger
from limo_ablate.sweep.ledger.parameters import space
from limo_ablate.sweep.ledger.usage import usage
from tests.ledgers import METRICS, Place, add, grid
from tests.postgres import Postgres
from tests.waiting import PATIENCE


def rows(place: Place) -> list[FrozenTrial]:
    """As any other user of Optuna sees them."""
    return optuna.load_study(study_name=place.name, storage=place.open().storage).trials


def test_trials_wait_with_their_levels_as_parameters(place: Place) -> None:
    add(place.open(), grid(size=(4, 16), quality=("L1", "L5")))
    found = rows(place)
    assert [row.state for row in found] == [TrialState.WAITING] * 4
    assert found[1].params == {"select.size": 4, "select.quality": "L5", "seed": 0}
    assert found[1].user_attrs["cell"] == "size4-L5-s0"
    assert optuna.load_study(study_name=place.name, storage=place.open().storage).metric_names == ["accuracy"]


def test_a_row_is_claimed_once_by_threads(place: Place) -> None:
    trials = add(place.open(), grid(size=tuple(range(1, 13))))
    ledgers = [place.open() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        claims = pool.map(lambda ledger: [t for t in trials if ledger.claim(t, "me")], ledgers)
    assert sorted(t for claimed in claims for t in claimed) == trials


def test_a_row_is_claimed_and_ended_once_by_processes(place: Place) -> None:
    trials = add(place.open(), grid(size=tuple(range(1, 25))))
    racers = [place.process(f"runner{n}") for n in range(2)]
    for racer in racers:
        assert racer.stdout
        assert racer.stdout.readline() == "ready\n"
    said = [racer.communicate("go\n", timeout=PATIENCE)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 2
    assert sorted(int(line) for lines in said for line in lines.split()) == trials
    assert Counter(row.state for row in rows(place)) == {TrialState.COMPLETE: 24}


def test_one_ledger_serves_several_threads(place: Place) -> None:
    ledger = place.open()
    trials = add(ledger, grid(size=tuple(range(1, 13))))
    with ThreadPoolExecutor(4) as pool:
        claims = pool.map(lambda n: [t for t in trials if ledger.claim(t, f"thread{n}")], range(4))
    assert sorted(t for claimed in claims for t in claimed) == trials


def test_what_happened_is_found_again(place: Place) -> None:
    found = grid(size=(1, 2, 3, 4, 5, 6))
    ledger = place.open()
    _, running, done, failed, interrupted, pruned = add(ledger, found)
    for row_id in (running, done, failed, interrupted, pruned):
        assert ledger.claim(row_id, "me")
    ledger.finish(done, METRICS, Path("folder"), seconds=10.0, devices=2)
    ledger.fail(failed, "out of memory", log="trial.log", seconds=3.0, **{FINAL: True})
    ledger.fail(interrupted, "its runner died", **{INTERRUPTED: True})
    ledger.prune(pruned, seconds=1.0)
    histories = place.open().histories()
    one, two, three, four, five, six = (histories[trial.key] for trial in found)
    assert (one.running, one.done, one.failures) == (None, False, [])
    assert one.waiting is not None
    assert (two.running, two.runner) == (running, "me")
    assert (three.done, three.seconds, three.device_seconds) == (True, 10.0, 20.0)
    assert (four.failures, four.final, four.seconds) == (["out of memory"], True, 3.0)
    assert (five.failures, five.final) == ([], False)
    assert (six.pruned, six.done) == (True, False)


def test_failures_before_a_retry_do_not_count(place: Place) -> None:
    ledger, found = place.open(), grid(size=(4,))
    (failed,) = add(ledger, found)
    ledger.claim(failed, "me")
    ledger.fail(failed, "out of memory", **{FINAL: True})
    ledger.add(found[0], 1, space([], found, grows=True), retry=True)
    (history,) = place.open().histories().values()
    assert (history.failures, history.final) == ([], False)


def test_a_finished_row_holds_its_result(place: Place) -> None:
    ledger = place.open()
    (row_id,) = add(ledger, grid(size=(4,)))
    ledger.claim(row_id, "host-1-abcd")
    assert ledger.finish(row_id, METRICS, Path("trials/x"), devices=4, values=[0.25, 7.0])
    (row,) = rows(place)
    assert (row.state, row.value) == (TrialState.COMPLETE, 0.25)
    assert row.user_attrs["runner"] == "host-1-abcd"
    assert row.user_attrs["result"] == {
        "scores": METRICS["scores"],
        "artifacts": {"weights": "w1"},
        "folder": "trials/x",
        "seconds": 12.5,
        "devices": 4,
        "values": [0.25, 7.0],
    }


def test_the_second_to_end_a_row_is_told_so(place: Place) -> None:
    first, second = place.open(), place.open()
    (row_id,) = add(first, grid(size=(4,)))
    first.claim(row_id, "first")
    assert first.finish(row_id, METRICS, Path("trials/x"))
    assert not second.finish(row_id, METRICS, Path("trials/y"))
    assert not second.fail(row_id, "its runner died")
    assert not second.prune(row_id)
    assert not second.release(row_id)
    assert not second.claim(row_id, "second")
    (row,) = rows(place)
    assert (row.state, row.user_attrs["runner"]) == (TrialState.COMPLETE, "first")
    assert row.user_attrs["result"]["folder"] == "trials/x"


def test_a_released_row_can_be_claimed_again(place: Place) -> None:
    ledger = place.open()
    (row_id,) = add(ledger, grid(size=(4,)))
    assert ledger.claim(row_id, "first")
    assert not place.open().claim(row_id, "second")
    assert ledger.release(row_id)
    (history,) = place.open().histories().values()
    assert (history.waiting, history.runner) == (row_id, None)
    assert place.open().claim(row_id, "second")
    assert not ledger.claim(row_id, "first")


def test_what_was_spent_before_a_release_stays_with_the_row(place: Place) -> None:
    ledger = place.open()
    (row_id,) = add(ledger, grid(size=(4,)))
    for seconds in (10.0, 5.0):
        assert ledger.claim(row_id, "first")
        assert ledger.release(row_id, seconds, devices=8)
    assert ledger.claim(row_id, "second")
    ledger.fail(row_id, "broke", seconds=1.0, devices=8)
    (history,) = place.open().histories().values()
    assert (history.seconds, history.device_seconds) == (16.0, 128.0)


def test_attempts_elsewhere_than_at_their_runner_are_told_by_machine(place: Place) -> None:
    ledger = place.open()
    (row_id,) = add(ledger, grid(size=(4,)))
    for machine in ("node1", None, "node2"):
        assert ledger.claim(row_id, "head-7-abcd")
        if machine:
            ledger.ran_on(row_id, machine)
        if machine != "node2":
            assert ledger.release(row_id, 10.0, devices=2)
    ledger.fail(row_id, "broke", seconds=1.0, devices=2)
    found = {one.name: (one.attempts, one.device_seconds) for one in usage(rows(place), {}, 0.0)}
    assert found == {
        "node1": ({"interrupted": 1}, 20.0),
        "head": ({"interrupted": 1}, 20.0),
        "node2": ({"failed": 1}, 2.0),
    }


def test_axes_grow_and_the_old_rows_stay(place: Place) -> None:
    add(place.open(), grid(size=(4, 16), quality=("L1", "L5")))
    grown = grid(size=(4, 16, 64), quality=("L1", "L3", "L5"))
    ledger = place.open()
    known = ledger.histories()
    add(ledger, [trial for trial in grown if trial.key not in known])
    assert set(place.open().histories()) == {trial.key for trial in grown}
    found = rows(place)
    assert {row.params["select.size"] for row in found} == {4, 16, 64}
    levels = [row.params | row.user_attrs.get("levels", {}) for row in found]
    assert {level["select.quality"] for level in levels} == {"L1", "L3", "L5"}


def test_an_axis_may_mix_kinds_of_levels(place: Place) -> None:
    add(place.open(), grid(size=(4, None), difficulty=("any", 0.5, "hard")))
    assert {row.params["select.size"] for row in rows(place)} == {4, None}


def test_two_studies_in_one_place_are_apart(place: Place) -> None:
    one, two = place.open(), Ledger(place.url, f"{place.name}-other")
    (row_id,) = add(one, grid(size=(4,)))
    assert two.rows() == []
    (other,) = add(two, grid(size=(4,)))
    assert one.claim(row_id, "me")
    assert [history.waiting for history in two.histories().values()] == [other]


def test_rows_of_other_tools_are_no_trials(place: Place) -> None:
    ledger = place.open()
    optuna.load_study(study_name=place.name, storage=ledger.storage).enqueue_trial({"x": 1})
    assert ledger.rows() == []


def test_a_killed_writer_leaves_a_ledger_that_works(place: Place) -> None:
    """Kill -9 at random moments; what it had begun stays as running, what it had ended stays ended."""
    trials = add(place.open(), grid(size=tuple(range(1, 101))))
    moments = random.Random(0)
    ended: list[int] = []
    for _ in range(2):
        writer = place.process("victim")
        assert writer.stdin
        assert writer.stdout
        writer.stdout.readline()
        writer.stdin.write("go\n")
        writer.stdin.flush()
        claimed = [int(writer.stdout.readline()) for _ in range(5)]
        time.sleep(moments.random() * 0.02)
        writer.kill()
        claimed += [int(line) for line in writer.stdout if line.endswith("\n")]
        writer.wait()
        ended += claimed[:-1]
    ledger = place.open()
    states = {row._trial_id: row.state for row in ledger.rows()}
    assert set(states) == set(trials)
    assert {states[row_id] for row_id in ended} == {TrialState.COMPLETE}
    assert sum(state == TrialState.RUNNING for state in states.values()) <= 2
    waiting = [row_id for row_id, state in states.items() if state == TrialState.WAITING]
    assert waiting
    assert all(ledger.claim(row_id, "me") for row_id in waiting)


def test_a_storage_that_is_away_for_a_while_is_waited_for(place: Place) -> None:
    ledger = place.open()
    one, two = add(ledger, grid(size=(4, 16)))
    assert ledger.claim(one, "me")
    place.away()
    assert ledger.finish(one, METRICS, Path("trials/x"))
    assert ledger.claim(two, "me")
    assert [row.state for row in ledger.rows()] == [TrialState.COMPLETE, TrialState.RUNNING]


def test_a_storage_that_stays_away_is_told_of(place: Place) -> None:
    ledger = place.open(patience=1.0)
    (row_id,) = add(ledger, grid(size=(4,)))
    place.away()
    with pytest.raises(UserError, match=r"ledger .* for 1 s"):
        ledger.claim(row_id, "me")
    assert place.open().claim(row_id, "me")  # waits until it is back


def test_a_new_ledger_is_opened_by_several_at_once(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    urls: list[str | Path] = [tmp_path / "ledger.log", f"sqlite:///{tmp_path}/ledger.db"]
    if Postgres.installed():
        urls.append(request.getfixturevalue("postgres").database())
    for url in urls:
        place = Place(url, "s", lambda: None)
        racers = [place.process("me") for _ in range(2)]
        said = [racer.communicate("go\n", timeout=PATIENCE) for racer in racers]
        assert [racer.returncode for racer in racers] == [0] * 2, (url, said)
        assert len(optuna.get_all_study_names(place.open().storage)) == 1


def test_a_wrong_url_is_a_users_error(tmp_path: Path) -> None:
    for url in ("nosuch://host/x", f"sqlite:///{tmp_path}/no/folder.db", "grpc://nowhere"):
        with pytest.raises(UserError, match=r"ledger=.*can't be opened"):
            Ledger(url, "s")
