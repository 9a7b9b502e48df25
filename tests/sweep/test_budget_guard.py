"""One budget, several runners: what they spend together stays within it, and what the dead spent counts."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from limo_ablate.core.hardware import device_count
from limo_ablate.core.progress import PROGRESS
from limo_ablate.study.budget import Budget
from limo_ablate.study.design import Block, Study
from limo_ablate.study.planned import PlannedTrial, planned_trials
from limo_ablate.sweep.budget_guard import BudgetGuard
from limo_ablate.sweep.ledger.lease import RUNNERS, Watch
from limo_ablate.sweep.ledger.ledger import Ledger, seconds_run
from limo_ablate.sweep.ledger.queue import Queue

SHORT = 0.2


def grid(n: int) -> list[PlannedTrial]:
    block = Block(name="b", axes={"select.size": tuple(range(1, n + 1))})
    return planned_trials(Study(name="s", blocks=(block,), overrides=("track=none",)))


def queue(folder: Path, found: list[PlannedTrial], runner: str) -> Queue:
    lease = folder / RUNNERS / f"{runner}.json"
    lease.parent.mkdir(exist_ok=True)
    lease.write_text('{"machine": "another kernel"}')
    made = Queue(
        Ledger(folder / "ledger.log", "s"), found, folder, runner, attempts=2, watch=Watch(folder, SHORT)
    )
    made.refresh()
    return made


def guard(queue: Queue, budget: Budget) -> BudgetGuard:
    """Each trial is forecast to take an hour."""
    made = BudgetGuard(queue, budget, lambda _: 3600.0)
    made.refresh()
    return made


def test_runners_that_start_together_do_not_spend_the_same_twice(tmp_path: Path) -> None:
    found = grid(16)
    hours = 3.5 * device_count(found[0].config.hardware)
    guards = [guard(queue(tmp_path, found, f"r{i}-1-abcd"), Budget(gpu_hours=hours)) for i in range(8)]
    assert all(one.allows(found[0], []) for one in guards), "as each saw it before the others claimed"

    def claims(one: BudgetGuard) -> int:
        running: list[tuple[PlannedTrial, float]] = []
        for queued in list(one._queue.waiting)[:2]:
            if one.claim(queued, running):
                running.append((queued.trial, 0.0))
        return len(running)

    with ThreadPoolExecutor(len(guards)) as pool:
        assert sum(pool.map(claims, guards)) == 3


def test_what_a_killed_runner_spent_counts(tmp_path: Path) -> None:
    found = grid(2)
    dead = queue(tmp_path, found, "far-1-abcd")
    dead.claim(dead.waiting[0])
    told = tmp_path / "trials" / found[0].folder / PROGRESS
    told.parent.mkdir(parents=True)
    told.touch()
    ahead = time.time() + 7200
    os.utime(told, (ahead, ahead))
    other = queue(tmp_path, found, "near-1-abcd")
    time.sleep(2 * SHORT)
    (tmp_path / RUNNERS / "near-1-abcd.json").touch()
    other.refresh()
    assert [queued.trial for queued in other.waiting] == found
    history = other.ledger.histories()[found[0].id]
    assert history.seconds == pytest.approx(7200, abs=60)
    assert history.device_seconds == history.seconds * device_count(found[0].config.hardware)
    assert not guard(other, Budget(hours=2.5)).allows(found[0], [])
    assert guard(other, Budget(hours=3.5)).allows(found[0], [])


def test_the_hours_of_a_study_are_those_in_which_its_trials_ran(tmp_path: Path) -> None:
    """Side by side ones count once, given back ones too, and what lay between two runs not at all."""
    found = grid(3)
    one = queue(tmp_path, found, "me-1-abcd")
    begun = time.time()
    for queued in (first := list(one.waiting)):
        one.claim(queued)
    one.release(first[0], 100.0)
    one.fail(first[1], "reason", Path("log"), 250.0, 1, again=False)
    assert seconds_run(one.ledger.rows(), begun + 50) == pytest.approx(250, abs=30)
    assert seconds_run(one.ledger.rows(), begun + 400) == pytest.approx(400, abs=30), "one runs still"
    one.fail(first[2], "reason", Path("log"), 20.0, 1, again=False)
    assert seconds_run(one.ledger.rows(), begun + 10_000) == pytest.approx(250, abs=30)
    one.ledger.claim(first[0].row_id, "me-1-abcd")
    one.ledger.release(first[0].row_id, 10.0)
    assert len(one.ledger.rows()[0].user_attrs["spent"]) == 4
