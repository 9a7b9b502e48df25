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

from limo_ablate.core.errors import UserError
from limo_ablate.study.design import Block, Study
from limo_ablate.study.planned import PlannedTrial, planned_trials
from limo_ablate.sweep.ledger.declared import declare
from limo_ablate.sweep.ledger.lease import RUNNERS, Lease, Watch
from limo_ablate.sweep.ledger.ledger import Ledger
from limo_ablate.sweep.ledger.queue import Queue, alone, read_metrics, retry
from limo_ablate.sweep.processes import MARK
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
        result = {"trial": key or trial.key, "scores": score, "total_seconds": 1, "artifacts": {}}
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
    return [todo.trial.name for todo in queue.todo]


def test_everything_is_to_do_at_first_and_a_refresh_adds_nothing(runners: Runners) -> None:
    found = grid()
    first = runners.queue(found)
    assert [todo.trial for todo in first.todo] == found
    before = (runners.folder / "ledger.log").read_bytes()
    first.refresh()
    again = runners.queue(found, "other")
    assert [todo.row_id for todo in first.todo] == [todo.row_id for todo in again.todo]
    assert (runners.folder / "ledger.log").read_bytes() == before


def test_a_trial_is_run_and_its_result_recorded(runners: Runners) -> None:
    queue = runners.queue(found := grid())
    todo = queue.todo[0]
    assert queue.claim(todo)
    assert queue.finish(todo, 2.0, 4) is None
    runners.leave_result(found[0])
    metrics = queue.finish(todo, 2.0, 4)
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
    queue.claim(first := queue.todo[0])
    queue.fail(first, "out of memory", LOG, 1.0, 1, again=True)
    assert names(queue) == [*order[1:], order[0]]
    queue.refresh()
    assert names(queue) == [*order[1:], order[0]]


def test_only_a_window_of_the_trials_waits_at_a_time(runners: Runners) -> None:
    found = grid(1, 2, 3, 4, 5)
    queue = runners.queue(found, window=2)
    assert (names(queue), queue.missing, queue.total) == (["size1-s0", "size2-s0"], 3, 5)
    assert queue.claim(queue.todo[0])
    queue.refresh()
    assert (names(queue), queue.missing, queue.elsewhere) == (["size2-s0", "size3-s0"], 2, 0)


def test_a_result_that_a_dead_runner_left_is_adopted(runners: Runners) -> None:
    found = grid()
    first = runners.queue(found, "dead")
    for todo in list(first.todo):
        first.claim(todo)
    runners.leave_result(found[0])
    queue = runners.queue(found)
    assert queue.done == 1
    assert [(todo.trial, todo.attempt) for todo in queue.todo] == [(found[1], 1)]
    assert first.finish(todo, 1.0, 1) is None  # what it ran has no result, and the row is no longer its own
    first.fail(todo, "too late", LOG, 1.0, 1, again=False)
    assert runners.ledger.histories()[found[1].id].failures == []


def test_the_result_of_another_configuration_is_not_adopted(runners: Runners) -> None:
    found = grid(4)
    runners.queue(found, "dead").claim(runners.queue(found).todo[0])
    runners.leave_result(found[0], key="another")
    assert runners.queue(found).done == 0


def test_trials_of_the_living_are_left_alone_and_those_of_the_dead_are_taken_up(
    runners: Runners, lease: Lease
) -> None:
    found = grid()
    living = runners.queue(found, lease.id)
    living.claim(living.todo[0])
    other = runners.queue(found, "me")
    assert (names(other), other.elsewhere) == (["size16-s0"], 1)
    lease.__exit__()
    other.refresh()
    assert (names(other), other.elsewhere) == (["size4-s0", "size16-s0"], 0)
    assert [todo.attempt for todo in other.todo] == [1, 1]


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
    first.claim(first.todo[0])
    orphan = subprocess.Popen(
        ["setsid", "sh", "-c", "sleep 1000 & echo $!; exec sleep 0"],
        env={**os.environ, MARK: name},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert orphan.stdout
    pid = int(orphan.stdout.readline())
    orphan.wait()
    waiting = runners.queue(found)
    assert waiting.todo == []
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
    far.claim(far.todo[0])
    near = runners.queue(found)
    assert (near.todo, near.elsewhere) == ([], 1)
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
    runners.ledger.storage.set_trial_state_values(queue.todo[0].row_id, TrialState.RUNNING)
    other.touch()
    queue.refresh()
    assert (queue.todo, queue.elsewhere) == ([], 1), "the other one may be about to sign"
    time.sleep(2 * SHORT)
    other.touch()
    queue.refresh()
    assert names(queue) == ["size4-s0"]


def test_a_row_that_nobody_signed_is_taken_over_at_once_where_nobody_else_lives(runners: Runners) -> None:
    queue = runners.queue(grid(4))
    runners.ledger.storage.set_trial_state_values(queue.todo[0].row_id, TrialState.RUNNING)
    queue.refresh()
    assert names(queue) == ["size4-s0"]


def test_a_row_seen_unsigned_once_is_not_abandoned_at_its_next_claim(runners: Runners, lease: Lease) -> None:
    """On a database a claim can be seen between its two writes."""
    queue, ledger = runners.queue(grid(4)), runners.ledger
    row = queue.todo[0].row_id
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
    queue._add(replace(queue.todo[0]))
    queue.refresh()
    (todo,) = queue.todo
    (history,) = runners.ledger.histories().values()
    assert (history.waiting, history.spare, history.failures) == (todo.row_id, [], [])
    assert found[0].id in runners.ledger.histories()


def test_failures_count_and_interruptions_do_not(runners: Runners) -> None:
    found = grid(4)
    for runner in ("a", "b", "c"):  # each dies
        queue = runners.queue(found, runner)
        assert queue.claim(queue.todo[0])
    queue = runners.queue(found)
    for attempt in (1, 2):
        (todo,) = queue.todo
        assert todo.attempt == attempt
        queue.claim(todo)
        queue.fail(todo, f"reason {attempt}", LOG, 1.0, 1, again=attempt == 1)
    assert queue.given_up == [(found[0], "reason 2")]
    queue.refresh()
    assert (queue.todo, queue.given_up) == ([], [(found[0], "reason 2")])
    assert [todo.attempt for todo in runners.queue(found, attempts=3, reopen=True).todo] == [3]


def test_what_was_given_up_early_is_tried_again_by_the_next_sweep_only(runners: Runners) -> None:
    found = grid(4)
    queue = runners.queue(found)
    queue.claim(todo := queue.todo[0])
    queue.fail(todo, "select.size: too many", LOG, 1.0, 1, again=False)
    queue.refresh()
    joined = runners.queue(found, "other")
    assert queue.given_up == joined.given_up == [(found[0], "select.size: too many")]
    sweep = runners.queue(found, reopen=True)
    assert [todo.attempt for todo in sweep.todo] == [2]


def test_a_retry_forgets_earlier_failures(runners: Runners) -> None:
    found = grid()
    queue = runners.queue(found)
    for attempt in (1, 2):
        queue.claim(todo := next(todo for todo in queue.todo if todo.trial == found[0]))
        queue.fail(todo, "out of memory", LOG, 1.0, 1, again=attempt == 1)
    assert retry(runners.ledger, found, runners.folder) == [found[0]]
    assert retry(runners.ledger, found, runners.folder) == []
    queue.refresh()
    assert [(todo.trial, todo.attempt) for todo in queue.todo] == [(found[0], 1), (found[1], 1)]
    assert queue.given_up == []


def test_a_study_grows_and_shrinks(runners: Runners) -> None:
    small, large = grid(), grid(4, 16, 64)
    queue = runners.queue(small)
    done, dropped = queue.todo
    queue.claim(done)
    runners.leave_result(done.trial)
    queue.finish(done, 1.0, 1)
    alone = runners.queue(small[:1])
    assert (alone.done, alone.todo) == (1, [])
    assert runners.ledger.histories()[dropped.trial.id].waiting is None
    grown = runners.queue(large)
    assert grown.done == 1
    assert [todo.trial for todo in grown.todo] == large[1:]


def test_a_runner_of_an_older_declaration_gets_no_more_and_drops_nothing(runners: Runners) -> None:
    declare(runners.ledger, study(), old := grid())
    joined = runners.queue(old, "joined")
    declare(runners.ledger, study(16, 64), new := grid(16, 64), extend=True)
    sweep = runners.queue(new)
    joined.refresh()
    assert (joined.outdated, joined.todo) == (True, [])
    sweep.refresh()
    assert not sweep.outdated
    assert [todo.trial for todo in sweep.todo] == new


def test_metrics_are_read_only_when_they_are_this_trials(tmp_path: Path) -> None:
    assert read_metrics(tmp_path, "k") is None
    (tmp_path / "metrics.json").write_text('{"trial": "k", "seed": 1}')
    assert read_metrics(tmp_path, "k") == {"trial": "k", "seed": 1}
    assert read_metrics(tmp_path, "other") is None


def test_another_ones_refresh_is_not_waited_for(runners: Runners, monkeypatch: pytest.MonkeyPatch) -> None:
    found = grid(4, 16, 64)
    queue = runners.queue(found, window=2)
    with alone(runners.folder):
        assert queue.claim(queue.todo[0])
        queue.refresh()
        assert (names(queue), queue.missing) == (["size16-s0"], 1)
        assert queue.claim(queue.todo[0])
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
        while queue.todo or queue.missing:
            for todo in list(queue.todo):
                if queue.claim(todo):
                    queue.ledger.finish(todo.row_id, METRICS, Path("x"))
                    got.append(todo.trial.name)
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
