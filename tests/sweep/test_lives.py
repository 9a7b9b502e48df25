"""Random lives of a study, with small trials in this process: what is checked after each step holds always.

A study grows, shrinks, is reordered and moved, its data and the verifier change and change back, trials fail,
runners die, folders, the ledger and its last line are lost, in any order.

    LIVES=1000 pytest tests/sweep/test_lives.py     1,000 lives of 50 steps
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from limo_ablate.analysis import results
from limo_ablate.analysis.trials import Trial, load_trials
from limo_ablate.core.artifacts import Store, record_files
from limo_ablate.study.design import load_study
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep import coordinate
from limo_ablate.sweep.ledger.declaration import declare
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.ledger.queue import Queue, retry
from limo_ablate.sweep.ledger.same_failures import SameFailures
from limo_ablate.sweep.plan.cost import Costs
from limo_ablate.sweep.reconcile import differences, reconcile
from limo_ablate.sweep.session import Session, all_trials
from limo_ablate.sweep.status import study_statuses

pytestmark = pytest.mark.slow

SIZES, TIERS, VALUES = (1, 2, 3), ("L5", "L4"), (0.25, 0.5, 0.75)


class Lives(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="lives"))
        self.folder = self.root / "studies" / "life"
        self.verifier = results.VERIFIER
        self.sizes, self.tiers, self.seeds = [1], [], [0]
        self.tiers_first = self.second_block = False
        self.failing: set[int] = set()
        """Sizes whose trials fail."""
        self.ran: Counter[tuple[str, float, int]] = Counter()
        """(key, value of the data, verifier) -> number of results that were made and not lost since."""
        self.edit(0.25)

    def teardown(self) -> None:
        results.VERIFIER = getattr(self, "verifier", results.VERIFIER)
        shutil.rmtree(getattr(self, "root", "/nowhere"), ignore_errors=True)

    # what a user does to the declaration

    @rule(size=st.sampled_from(SIZES))
    def another_size(self, size: int) -> None:
        self.sizes = [*self.sizes, size] if size not in self.sizes else self.sizes[1:] or self.sizes

    @rule(tiers=st.sampled_from([[], ["L5"], ["L4", "L5"]]))
    def an_axis(self, tiers: list[str]) -> None:
        self.tiers = tiers

    @rule()
    def another_order(self) -> None:
        self.tiers_first, self.sizes = not self.tiers_first, self.sizes[::-1]

    @rule()
    def a_block_before(self) -> None:
        self.second_block = not self.second_block

    @rule(seeds=st.sampled_from([[0], [1, 0]]))
    def other_seeds(self, seeds: list[int]) -> None:
        self.seeds = seeds

    # what happens to inputs and files

    @rule(value=st.sampled_from(VALUES))
    def edit(self, value: float) -> None:
        self.value = value
        (self.root / "rows").write_text(str(value))

    @rule(by=st.sampled_from([0, 1]))
    def change_verifier(self, by: int) -> None:
        results.VERIFIER = self.verifier + by

    @precondition(lambda self: self.folder.is_dir())
    @rule(place=st.integers(0, 20))
    def delete_a_trial(self, place: int) -> None:
        folders = sorted((self.folder / "trials").glob("*"))
        if folders:
            folder = folders[place % len(folders)]
            shutil.rmtree(folder)
            self.forget(folder.name)

    @precondition(lambda self: self.folder.is_dir())
    @rule()
    def delete_the_ledger(self) -> None:
        (self.folder / "ledger.log").unlink(missing_ok=True)

    @precondition(lambda self: (self.folder / "ledger.log").is_file())
    @rule()
    def tear_the_ledger(self) -> None:
        """Its last line is cut short, as by a kill while it was written."""
        ledger = self.folder / "ledger.log"
        ledger.write_bytes(ledger.read_bytes()[:-7])

    @precondition(lambda self: self.folder.is_dir())
    @rule()
    def move(self) -> None:
        """The folder comes back as a copy, with other times."""
        copy = self.root / "copy"
        shutil.copytree(self.folder, copy)
        shutil.rmtree(self.folder)
        copy.rename(self.folder)

    @rule(size=st.sampled_from(SIZES))
    def fail_or_mend(self, size: int) -> None:
        self.failing ^= {size}

    @precondition(lambda self: (self.folder / "cells.json").is_file())
    @rule()
    def try_again(self) -> None:
        session = self.session()
        ledger = session.ledger()
        retry(ledger, all_trials(session, ledger.rows()), self.folder)

    # what a runner does

    @rule()
    def sweep(self) -> None:
        """To its end: what can finish has, and another sweep has nothing to do."""
        self.run(99)
        before = self.ran.copy()
        left = self.run(99)
        assert not left.waiting
        assert left.done + len(left.given_up) == left.total
        assert self.ran == before, "nothing that was finished is done twice"
        finished = [trial for trial in load_trials(self.folder) if trial.metrics]
        assert len(finished) == left.done

    @rule(limit=st.integers(1, 3), dies=st.sampled_from(["no", "before", "after"]))
    def some_trials(self, limit: int, dies: str) -> None:
        """A runner that leaves, or is killed before or after its last trial's result is written."""
        self.run(limit, dies)

    def run(self, limit: int, dies: str = "no") -> Queue:
        session = self.session()
        with Lease(self.folder) as lease:
            ledger = session.ledger()
            declare(ledger, session.study, session.trials, extend=True)
            reconcile(session, ledger, lease.id, differences(session, ledger.rows(), keep_stale=False))
            queue = session.queue(ledger, lease, Costs(), SameFailures(self.folder), slots=1, reopen=True)
            coordinate.write_study(session.study, queue.trials, self.folder)
            while limit and queue.waiting:
                limit -= 1
                queued = queue.waiting[0]
                assert queue.claim(queued)
                folder = self.start(queued.trial)
                if dies == "before" and not limit:
                    break
                if queued.trial.levels["select.size"] in self.failing:
                    queue.fail(queued, "it fails", folder / "log", 0.1, 1, again=False)
                    continue
                self.result(queued.trial, folder)
                if dies == "after" and not limit:
                    break
                assert queue.finish(queued, 0.1, 1)
            queue.refresh()
        return queue

    def start(self, trial: PlannedTrial) -> Path:
        """The trial's folder; as in `Outcomes.begin`, a stale result is moved aside."""
        place, aside = self.folder / "trials" / trial.folder, self.folder / "stale"
        if (place / "metrics.json").exists():
            aside.mkdir(exist_ok=True)
            place.rename(aside / f"{trial.folder}-{len(list(aside.iterdir()))}")
            self.forget(trial.key)
        return place

    def forget(self, key: str) -> None:
        """Its result is no longer among the trials'."""
        for made in [made for made in self.ran if made[0] == key]:
            del self.ran[made]

    def result(self, trial: PlannedTrial, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with record_files() as files:
            Store(self.root / "store").path_digest(self.root / "rows")
        made = (trial.key, self.value, results.VERIFIER)
        self.ran[made] += 1
        metrics = {
            "trial": trial.key, "scores": {"mini": {"accuracy": self.value}}, "total_seconds": 0.1,
            "artifacts": {}, "finished": f"{sum(self.ran.values()):09}", "verdicts": None,
            "inputs": {"files": files, "versions": {"verifier": results.VERIFIER}},
        }  # fmt: skip
        (folder / "metrics.json").write_text(json.dumps(metrics))

    def session(self) -> Session:
        axes: dict[str, Any] = {"select.size": self.sizes}
        if self.tiers:
            axes |= {"select.quality": self.tiers}
        if self.tiers_first:
            axes = dict(reversed(axes.items()))
        blocks = [{"name": "b", "axes": axes}]
        if self.second_block:
            blocks.insert(0, {"name": "a", "axes": {"select.size": [2, self.sizes[0]]}})
        overrides = [
            "data=jsonl", f"data.path={self.root / 'rows'}", "model=mini_s", "train=mini", "eval=miniature",
            "track=none", f"paths.studies={self.root / 'studies'}", f"paths.artifacts={self.root / 'store'}",
        ]  # fmt: skip
        study = {"name": "life", "overrides": overrides, "seeds": self.seeds, "blocks": blocks}
        (self.root / "life.yaml").write_text(yaml.safe_dump(study))
        return Session.of(load_study(str(self.root / "life.yaml")), self.folder)

    @invariant()
    def all_tell_the_same(self) -> None:
        if not hasattr(self, "root") or not (self.folder / "cells.json").is_file():
            return
        states = {status.trial.name: status.state for status in study_statuses(self.folder)}
        trials = load_trials(self.folder)
        current = [trial for trial in trials if trial.metrics and not trial.stale]
        assert sorted(trial.name for trial in current) == sorted(
            name for name, state in states.items() if state == "finished"
        ), "status and report count the same"
        assert all(accuracy(trial) == self.value for trial in current), "a number is of the data as they are"
        shown = [trial for trial in trials if trial.metrics]
        assert len({accuracy(trial) for trial in shown}) <= 1, "no table mixes two files"
        assert all(trial.stale for trial in shown if trial not in current), "what is stale is marked"
        assert all(count == 1 for count in self.ran.values()), "nothing is done twice"


def accuracy(trial: Trial) -> float:
    assert trial.metrics is not None
    return float(trial.metrics["scores"]["mini"]["accuracy"])


TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=int(os.environ.get("LIVES", "12")),
    stateful_step_count=50,
    derandomize=True,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
