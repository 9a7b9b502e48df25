from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState

from limo_ablate.analysis.results import read_metrics
from limo_ablate.core.errors import UserError
from limo_ablate.core.marked_processes import RUNNER_MARK
from limo_ablate.study.design import Block, Study
from limo_ablate.study.planned import PlannedTrial, planned_trials
from limo_ablate.sweep.ledger.declaration import declare
from limo_ablate.sweep.ledger.lease import RUNNERS, Lease, Watch
from limo_ablate.sweep.ledger.ledger import Ledger
from limo_ablate.sweep.ledger.queue import Queue, queue_lock, retry
from tests.ledgers import METRICS
from tests.waiting import PATIENCE

SIZES = (4, 16)
LOG = Path("trial.log")
SHORT = 0.3


def study(*sizes: int, seeds: tuple[int, ...] = (0,)) -> Study:
    block = Block(name="b", axes={"select.size": sizes or SIZES})
    return Study(name="s", blocks=(block,), overrides=("track=none",), seeds=seeds)


def grid(*sizes: int, seeds: tuple[int, ...] = (0,)) -> list[PlannedTrial]:
    return planned_trials(study(*sizes, seeds=seeds))


class Runners:
    """Runners of one study in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger(folder / "ledger.log", "s")

    def queue(self, found: list[PlannedTrial], name: str = "me", **options: object) -> Queue:
        """A refreshed one."""
        settings = {"attempts": 2, "watch": Watch(self.folder, SHORT), **options}
        queue = Queue(Ledger(self.folder / "ledger.log", "s"), found, self.folder, name, **settings)  # type: ignore[arg-type]
        queue.refresh()
        return queue

    def leave_result(self, trial: PlannedTrial, key: str | None = None) -> None:
        folder = self.folder / "trials" / trial.folder
        folder.mkdir(parents=True)
        score = {"mini": {"accuracy": 1}}
        result = {
            "trial": key or trial.key,
            "scores": score,
            "total_seconds": 1,
            "artifacts": {},
            "inputs": {"files": {}, "versions": {}},
            "finished": "2026-01-01T01:00:00+00:00",
        }
        (folder / "metrics.json").write_text(json.dumps(result))

    def elsewhere(self, name: str = "far-1-abcd") -> Path:
        """The lease of a runner on another machine."""
        path = self.folder / RUNNERS / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"machine": "another kernel"}')
        return path


@pytest.fixture
def runners(tmp_path: Path) -> Runners:
    return Runners(tmp_path)


@pytest.fixture
def lease(tmp_path: Path) -> Iterator[Lease]:
    with Lease(tmp_path) as lease:
        yield lease


def names(queue: Queue) -> list[str]:
    return [queued.trial.name for queued in queue.waiting]


def test_everything_is_to_do_at_first_and_a_refresh_adds_nothing(runners: Runners) -> None:
    found = grid()
    first = runners.queue(found)
    assert [queued.trial for queued in first.waiting] == found
    before = (runners.folder / "ledger.log").read_bytes()
    first.refresh()
    again = runners.queue(found, "other")
    assert [queued.row_id for queued in first.waiting] == [queued.row_id for queued in again.waiting]
    assert (runners.folder / "ledger.log").read_bytes() == before


def test_a_trial_is_run_and_its_result_recorded(runners: Runners) -> None:
    queue = runners.queue(found := grid())
    queued = queue.waiting[0]
    assert queue.claim(queued)
    assert queue.finish(queued, 2.0, 4) is None
    runners.leave_result(found[0])
    metrics = queue.finish(queued, 2.0, 4)
    assert metrics
    assert metrics["scores"] == {"mini": {"accuracy": 1}}
    assert (queue.done, names(queue)) == (1, ["size16-s0"])
    history = runners.ledger.histories()[found[0].id]
    assert (history.done, history.seconds, history.device_seconds) == (True, 2.0, 8.0)


def test_whole_grids_come_first_and_the_longest_trials_of_each(runners: Runners) -> None:
    found = grid(4, 64, 16, seeds=(5, 3))
    queue = runners.queue(found, order_key=lambda trial: -float(trial.levels["select.size"]))
    order = ["size64-s5", "size16-s5", "size4-s5", "size64-s3", "size16-s3", "size4-s3"]
    assert names(queue) == order
    queue.claim(first := queue.waiting[0])
    queue.fail(first, "out of memory", LOG, 1.0, 1, again=True)
    assert names(queue) == [*order[1:], order[0]]
    queue.refresh()
    assert names(queue) == [*order[1:], order[0]]


def test_only_a_window_of_the_trials_waits_at_a_time(runners: Runners) -> None:
    found = grid(1, 2, 3, 4, 5)
    queue = runners.queue(found, window=2)
    assert (names(queue), queue.missing, queue.total) == (["size1-s0", "size2-s0"], 3, 5)
    assert queue.claim(queue.waiting[0])
    queue.refresh()
    assert (names(queue), queue.missing, queue.elsewhere) == (["size2-s0", "size3-s0"], 2, 0)


def test_a_result_that_a_dead_runner_left_is_adopted(runners: Runners) -> None:
    found = grid()
    first = runners.queue(found, "dead")
    for queued in list(first.waiting):
        first.claim(queued)
    runners.leave_result(found[0])
    queue = runners.queue(found)
    assert queue.done == 1
    assert [(queued.trial, queued.attempt) for queued in queue.waiting] == [(found[1], 1)]
    assert first.finish(queued, 1.0, 1) is None  # what it ran has no result, and the row is no longer its own
    first.fail(queued, "too late", LOG, 1.0, 1, again=False)
    assert runners.ledger.histories()[found[1].id].failures == []


def test_the_result_of_another_configuration_is_not_adopted(runners: Runners) -> None:
    found = grid(4)
    runners.queue(found, "dead").claim(runners.queue(found).waiting[0])
    runners.leave_result(found[0], key="another")
    assert runners.queue(found).done == 0


def test_trials_of_the_living_are_left_alone_and_those_of_the_dead_are_taken_up(
    runners: Runners, lease: Lease
) -> None:
    found = grid()
    living = runners.queue(found, lease.id)
    living.claim(living.waiting[0])
    other = runners.queue(found, "me")
    assert (names(other), other.elsewhere) == (["size16-s0"], 1)
    lease.__exit__()
    other.refresh()
    assert (names(other), other.elsewhere) == (["size4-s0", "size16-s0"], 0)
    assert [queued.attempt for queued in other.waiting] == [1, 1]


def test_a_killed_runner_of_this_machine_is_taken_over_at_once_with_its_orphans(runners: Runners) -> None:
    found = grid(4)
    hold = "import sys, pathlib; from limo_ablate.sweep.ledger.lease import Lease\n\
with Lease(pathlib.Path(sys.argv[1])) as lease: print(lease.id, flush=True); input()"
    killed = subprocess.Popen(
        [sys.executable, "-c", hold, str(runners.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert killed.stdout
    name = killed.stdout.readline().strip()
    first = runners.queue(found, name)
    first.claim(first.waiting[0])
    orphan = subprocess.Popen(
        ["setsid", "sh", "-c", "sleep 1000 & echo $!; exec sleep 0"],
        env={**os.environ, RUNNER_MARK: name},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert orphan.stdout
    pid = int(orphan.stdout.readline())
    orphan.wait()
    waiting = runners.queue(found)
    assert waiting.waiting == []
    killed.kill()
    killed.wait()
    waiting.refresh()
    assert names(waiting) == ["size4-s0"]
    assert not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text()
    assert Watch(runners.folder).known() == []


def test_a_runner_of_another_machine_is_taken_over_after_its_lease(runners: Runners) -> None:
    found = grid(4)
    path = runners.elsewhere()
    far = runners.queue(found, path.stem)
    far.claim(far.waiting[0])
    near = runners.queue(found)
    assert (near.waiting, near.elsewhere) == ([], 1)
    time.sleep(2 * SHORT)
    os.utime(path, times=(0, 0))  # its clock is wrong; it lives
    near.refresh()
    assert near.elsewhere == 1
    time.sleep(2 * SHORT)
    near.refresh()
    assert (names(near), near.elsewhere) == (["size4-s0"], 0)
    assert not path.exists()


def test_a_row_that_nobody_signed_is_taken_over_after_a_lease(runners: Runners) -> None:
    """Its runner died between its two writes, which a database has apart."""
    other = runners.elsewhere()
    queue = runners.queue(grid(4))
    runners.ledger.storage.set_trial_state_values(queue.waiting[0].row_id, TrialState.RUNNING)
    other.touch()
    queue.refresh()
    assert (queue.waiting, queue.elsewhere) == ([], 1), "the other one may be about to sign"
    time.sleep(2 * SHORT)
    other.touch()
    queue.refresh()
    assert names(queue) == ["size4-s0"]


def test_a_row_that_nobody_signed_is_taken_over_at_once_where_nobody_else_lives(runners: Runners) -> None:
    queue = runners.queue(grid(4))
    runners.ledger.storage.set_trial_state_values(queue.waiting[0].row_id, TrialState.RUNNING)
    queue.refresh()
    assert names(queue) == ["size4-s0"]


def test_a_row_seen_unsigned_once_is_not_abandoned_at_its_next_claim(runners: Runners, lease: Lease) -> None:
    """On a database a claim can be seen between its two writes."""
    queue, ledger = runners.queue(grid(4)), runners.ledger
    row = queue.waiting[0].row_id
    for _ in range(2):
        ledger.storage.set_trial_state_values(row, TrialState.RUNNING)
        queue.refresh()
        ledger.storage.set_trial_user_attr(row, "runner", lease.id)
        queue.refresh()
        time.sleep(2 * SHORT)
        ledger.release(row)
        queue.refresh()
    assert [found.state.name for found in ledger.rows()] == ["WAITING"]


def test_a_row_that_waits_twice_is_run_once(runners: Runners) -> None:
    queue = runners.queue(found := grid(4))
    queue._add(replace(queue.waiting[0]))
    queue.refresh()
    (queued,) = queue.waiting
    (history,) = runners.ledger.histories().values()
    assert (history.waiting, history.duplicates, history.failures) == (queued.row_id, [], [])
    assert found[0].id in runners.ledger.histories()


def test_failures_count_and_interruptions_do_not(runners: Runners) -> None:
    found = grid(4)
    for runner in ("a", "b", "c"):  # each dies
        queue = runners.queue(found, runner)
        assert queue.claim(queue.waiting[0])
    queue = runners.queue(found)
    for attempt in (1, 2):
        (queued,) = queue.waiting
        assert queued.attempt == attempt
        queue.claim(queued)
        queue.fail(queued, f"reason {attempt}", LOG, 1.0, 1, again=attempt == 1)
    assert queue.given_up == [(found[0], "reason 2")]
    queue.refresh()
    assert (queue.waiting, queue.given_up) == ([], [(found[0], "reason 2")])
    assert [queued.attempt for queued in runners.queue(found, attempts=3, reopen=True).waiting] == [3]


def test_what_was_given_up_early_is_tried_again_by_the_next_sweep_only(runners: Runners) -> None:
    found = grid(4)
    queue = runners.queue(found)
    queue.claim(queued := queue.waiting[0])
    queue.fail(queued, "select.size: too many", LOG, 1.0, 1, again=False)
    queue.refresh()
    joined = runners.queue(found, "other")
    assert queue.given_up == joined.given_up == [(found[0], "select.size: too many")]
    sweep = runners.queue(found, reopen=True)
    assert [queued.attempt for queued in sweep.waiting] == [2]


def test_a_retry_forgets_earlier_failures(runners: Runners) -> None:
    found = grid()
    queue = runners.queue(found)
    for attempt in (1, 2):
        queue.claim(queued := next(queued for queued in queue.waiting if queued.trial == found[0]))
        queue.fail(queued, "out of memory", LOG, 1.0, 1, again=attempt == 1)
    assert retry(runners.ledger, found, runners.folder) == [found[0]]
    assert retry(runners.ledger, found, runners.folder) == []
    queue.refresh()
    assert [(queued.trial, queued.attempt) for queued in queue.waiting] == [(found[0], 1), (found[1], 1)]
    assert queue.given_up == []


def test_a_study_grows_and_shrinks(runners: Runners) -> None:
    small, large = grid(), grid(4, 16, 64)
    queue = runners.queue(small)
    done, dropped = queue.waiting
    queue.claim(done)
    runners.leave_result(done.trial)
    queue.finish(done, 1.0, 1)
    alone = runners.queue(small[:1])
    assert (alone.done, alone.waiting) == (1, [])
    assert runners.ledger.histories()[dropped.trial.id].waiting is None
    grown = runners.queue(large)
    assert grown.done == 1
    assert [queued.trial for queued in grown.waiting] == large[1:]


def test_a_runner_of_an_older_declaration_gets_no_more_and_drops_nothing(runners: Runners) -> None:
    declare(runners.ledger, study(), old := grid())
    joined = runners.queue(old, "joined")
    declare(runners.ledger, study(16, 64), new := grid(16, 64), extend=True)
    sweep = runners.queue(new)
    joined.refresh()
    assert (joined.outdated, joined.waiting) == (True, [])
    sweep.refresh()
    assert not sweep.outdated
    assert [queued.trial for queued in sweep.waiting] == new


def test_metrics_are_read_only_when_they_are_this_trials(tmp_path: Path) -> None:
    assert read_metrics(tmp_path, "k") is None
    (tmp_path / "metrics.json").write_text(json.dumps({"trial": "k", "finished": "2026", **METRICS}))
    assert (read_metrics(tmp_path, "k") or {})["scores"] == METRICS["scores"]
    assert read_metrics(tmp_path, "other") is None


def test_another_ones_refresh_is_not_waited_for(runners: Runners, monkeypatch: pytest.MonkeyPatch) -> None:
    found = grid(4, 16, 64)
    queue = runners.queue(found, window=2)
    with queue_lock(runners.folder):
        assert queue.claim(queue.waiting[0])
        queue.refresh()
        assert (names(queue), queue.missing) == (["size16-s0"], 1)
        assert queue.claim(queue.waiting[0])
        monkeypatch.setattr("limo_ablate.sweep.ledger.queue.PATIENCE", 0.5)
        with pytest.raises(UserError, match=r"queue\.lock: held for 0\.5 s"):  # a trial has no row
            queue.refresh()
    queue.refresh()
    assert names(queue) == ["size64-s0"]


def test_many_runners_share_the_trials(runners: Runners) -> None:
    found = grid(*range(1, 41))
    watch = {"watch": Watch(runners.folder, PATIENCE)}  # none of them is taken for dead here
    queues = [runners.queue(found, f"runner{n}", window=8, **watch) for n in range(4)]
    leases = [runners.elsewhere(f"runner{n}") for n in range(4)]
    got: list[str] = []

    def work(queue: Queue) -> None:
        while queue.waiting or queue.missing:
            for queued in list(queue.waiting):
                if queue.claim(queued):
                    queue.ledger.finish(queued.row_id, METRICS, Path("x"))
                    got.append(queued.trial.name)
            queue.refresh()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, queues))
    assert len(leases) == 4
    assert sorted(got) == sorted(trial.name for trial in found)
    assert Counter(row.state for row in runners.ledger.rows()) == {TrialState.COMPLETE: 40}


def test_runners_begin_at_different_trials(runners: Runners) -> None:
    found = grid(1, 2, 3, 4, 5)
    runners.elsewhere("a")
    runners.elsewhere("b")
    assert names(runners.queue(found, "a")) == ["size1-s0", "size3-s0", "size5-s0", "size2-s0", "size4-s0"]
    assert names(runners.queue(found, "b")) == ["size2-s0", "size4-s0", "size1-s0", "size3-s0", "size5-s0"]
