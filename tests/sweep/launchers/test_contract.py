"""What every launcher owes (`limo_ablate/sweep/launchers/launcher.py`): here, on Slurm, on Ray."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from limo_ablate.sweep.status import print_status
from tests.ray_cluster import ray_cluster
from tests.slurm_cluster import slurm_cluster
from tests.sweep.launchers.places import OnRay, OnSlurm, Place, all_gone, marked
from tests.sweep.sweeping import ended

__all__ = ["ray_cluster", "slurm_cluster"]


@pytest.fixture(params=["local", "slurm", "ray"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Over Slurm, whose jobs are interpreters of their own, with --exhaustive; over Ray with CI_RAY=1."""
    if request.param == "slurm":
        found: Place = OnSlurm(tmp_path, cluster=request.getfixturevalue("slurm_cluster"))
    elif request.param == "ray":
        found = OnRay(tmp_path, cluster=request.getfixturevalue("ray_cluster"))
    else:
        found = Place(tmp_path)
    yield found
    found.close()


def states(place: Place) -> Counter[str]:
    return Counter(row.state.name for row in place.rows())


def test_what_waits_is_run_once_and_a_failure_is_told_with_its_log(place: Place) -> None:
    """start, watch, logs."""
    place.declare("launch.attempts=2", quality=("any", "skipped", "shuffled"), size=(5,))
    code, said = place.run()
    assert code == 3, said
    assert place.finished() == {"any-size5-s0": 1}
    assert place.starts() == {"any-size5-s0": 1, "skipped-size5-s0": 2, "shuffled-size5-s0": 2}
    assert "RuntimeError: the loss is not a number" in said
    assert "killed by SIGKILL" in said
    assert "training any-size5-s0" in (place.trial("any-size5-s0") / "trial.log").read_text()
    assert "Traceback" in (place.trial("skipped-size5-s0") / "trial.log").read_text()
    assert (place.trial("any-size5-s0") / "metrics.json").exists()
    assert states(place) == {"COMPLETE": 1, "FAIL": 4}


def test_an_interrupt_ends_whole_trees_and_no_row_is_left_running(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """cancel, clean up: the trial has started a process in a session of its own."""
    place.declare("launch.grace_seconds=1", quality=("L1",), size=(1,))
    runner = place.start()
    place.until(lambda: bool(place.steps()))
    marks = place.marks()
    assert marked(marks)
    print_status(str(place.folder), [], as_json=False)
    assert "  running: L1-size1-s0  asleep at 1 of 10" in (told := capsys.readouterr().out)
    assert place.lines.search(told), told
    place.interrupt(runner)
    code, said = ended(runner)
    assert code == 130, said
    all_gone(marks)
    assert place.settled() == {"WAITING": 1}


def test_a_trial_that_has_to_make_room_goes_on_from_its_checkpoint(place: Place) -> None:
    """preempt."""
    place.declare("launch.attempts=1", quality=("L2",), size=(4000,))
    runner = place.start()
    place.until(lambda: bool(place.steps()))
    place.preempt(runner)
    if not place.follows:
        assert ended(runner)[0] == 130
        assert states(place) == {"WAITING": 1}
        runner = place.start()
    code, said = ended(runner)
    assert code == 0, said
    assert place.finished() == {"L2-size4000-s0": 1}
    ((_, _, steps),) = place.events("trained")
    assert 0 < int(steps) < 200, "the second attempt went on where the first had ended"


def test_a_machine_that_is_lost_takes_no_trial_with_it(place: Place) -> None:
    """lose: `launch.attempts=1` would give up a trial whose attempt counted."""
    place.declare("launch.attempts=1", quality=("L2",), size=(4000, 4020, 4040, 4060))
    runner = place.start()
    place.until(lambda: len(place.steps()) >= 2)
    marks = place.marks()
    place.lose(runner)
    if not place.survives:
        runner.wait()
        all_gone(marks)
        runner = place.start()
    code, said = ended(runner)
    assert code == 0, said
    assert set(place.finished().values()) == {1}
    assert len(place.finished()) == 4
    assert set(states(place)) <= {"COMPLETE", "FAIL"}


def test_a_trial_that_stands_still_is_ended_and_tried_again(place: Place) -> None:
    """watch; SIGSTOP: it heeds no SIGTERM either."""
    place.declare("launch.hang_seconds=5", "launch.attempts=2", quality=("L2",), size=(3000,))
    runner = place.start()
    place.until(lambda: bool(place.steps()))
    os.kill(int(place.events("start")[-1][3]), signal.SIGSTOP)
    code, said = ended(runner)
    assert code == 0, said
    assert place.finished() == {"L2-size3000-s0": 1}
    (reason,) = (row.user_attrs["result"]["reason"] for row in place.rows() if row.state.name == "FAIL")
    assert re.fullmatch(
        r"it hung for 5 s: no progress and nothing in its log \(weights at \d+ of 150 steps\)", reason
    )
