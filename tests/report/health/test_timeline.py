"""The timeline: lanes, pauses, failures, from the ledger or without it; and what has no result."""

from dataclasses import replace
from pathlib import Path

import pytest

from limo_ablate.report.health.attempts import Attempt, attempts
from limo_ablate.report.health.failures import section as failures
from limo_ablate.report.health.timeline import assign_lanes, pauses_of, section
from limo_ablate.report.study_view import StudyView, load
from limo_ablate.study.planned import planned_trials
from limo_ablate.sweep.ledger.ledger import LEDGER, Ledger
from tests.made_study import SIZE_QUALITY, Making

SMALL = {**SIZE_QUALITY, "axes": {"select.size": [4, 16], "select.quality": ["L4"]}}


def ran(start: float, end: float, machine: str = "", state: str = "done") -> Attempt:
    return Attempt(f"c{start:g}", machine, state, start, end, 1, "")


def test_a_slot_takes_the_next_attempt_once_it_is_free() -> None:
    found = [ran(0, 10), ran(1, 4), ran(4.02, 6), ran(10, 12), ran(10.01, 11)]
    assert assign_lanes(found) == ["slot 1", "slot 2", "slot 2", "slot 1", "slot 2"]


def test_machines_have_their_own_slots() -> None:
    found = [ran(0, 10, "a"), ran(1, 4, "b"), ran(2, 3, "a")]
    assert assign_lanes(found) == ["machine 1, slot 1", "machine 2, slot 1", "machine 1, slot 2"]


def test_a_pause_is_what_nothing_ran_in_and_long() -> None:
    worked, pauses = pauses_of([ran(0, 10), ran(2, 8), ran(10.2, 20), ran(100, 110)])
    assert worked == pytest.approx(29.8)
    assert pauses == [(20, 100)]


@pytest.fixture
def view(tmp_path: Path) -> StudyView:
    making = Making(tmp_path, blocks=[SMALL], figures=[], seeds=[0, 1])
    return load(replace(making, failing=lambda asked, seed: (asked["select.size"], seed) == (16, 1)).write())


def test_without_a_ledger_the_trials_own_records_are_drawn(view: StudyView) -> None:
    found, from_ledger = attempts(view)
    assert not from_ledger
    assert [attempt.end - attempt.start for attempt in found] == pytest.approx([3.5] * 3)
    made = section(view)
    assert made
    assert "The ledger is not available" in made.charts[0].note
    assert not (view.folder / LEDGER).exists()


def test_the_ledger_tells_failures_and_how_often(view: StudyView) -> None:
    ledger = Ledger(view.folder / LEDGER, "made")
    (bad,) = view.failed
    known = planned_trials(view.study)
    for attempt in (1, 2):
        trial = ledger.add(replace(known[0], name=bad.name), attempt, {})
        ledger.claim(trial, "host-1-ab")
        ledger.fail(trial, "out of memory", seconds=1.0)
    trial = ledger.add(replace(known[1], name="stopped"), 1, {})
    ledger.claim(trial, "host-2-cd")
    ledger.fail(trial, "its runner died", interrupted=True)
    found, from_ledger = attempts(view)
    assert from_ledger
    assert [attempt.state for attempt in found] == ["failed", "failed", "interrupted"]
    assert {attempt.machine for attempt in found} == {"host"}
    made, told = section(view), failures(view)
    assert made
    assert told
    assert "3 attempts (2 failed, 1 interrupted)" in made.charts[0].finding
    assert made.charts[0].spec
    assert told.table
    assert told.table.rows == [
        [bad.name, "RuntimeError: out of memory", str(bad.folder / "trial.log"), "limo-ablate x=1", "2"]
    ]


def test_a_ledger_of_another_study_is_not_taken_for_this_one(view: StudyView) -> None:
    Ledger(view.folder / LEDGER, "another")
    assert not attempts(view)[1]


def test_what_has_not_run_is_listed_and_what_a_pruner_ended_is_told_apart(view: StudyView) -> None:
    first, second, third = view.done
    ledger = Ledger(view.folder / LEDGER, "made")
    trial = ledger.add(replace(planned_trials(view.study)[0], name=first.name), 1, {})
    ledger.claim(trial, "host-1-ab")
    ledger.prune(trial, seconds=1.0)
    for gone in (first, second):
        (gone.folder / "metrics.json").unlink()
    told = failures(load(view.folder))
    assert told
    assert f"1 trial stopped early by the pruner: {first.name}" in told.text
    assert f"1 trial not run yet: {second.name}" in told.text
    assert third.name not in " ".join(told.text)


def test_nothing_is_said_where_all_have_a_result(tmp_path: Path) -> None:
    assert failures(load(Making(tmp_path, blocks=[SMALL], figures=[], seeds=[0]).write())) is None
