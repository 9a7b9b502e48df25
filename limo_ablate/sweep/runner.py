"""The runner: takes what a plan left to do and runs it in the slots, none waiting for another.

    prepare (one job for each base model) ──▶ its cells, in the study's order ──▶ ledger

A cell is eligible once its base model is made, so that no slot waits for a lock while others could work.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from limo_ablate.errors import EXIT_USER_ERROR, UserError
from limo_ablate.sweep.cells import Cell
from limo_ablate.sweep.ledger import Ledger
from limo_ablate.sweep.live import REFRESH_SECONDS, Progress, rerun_command
from limo_ablate.sweep.plan import Base, Plan, Todo, by_base, read_metrics
from limo_ablate.sweep.processes import Interrupts, end
from limo_ablate.sweep.slots import Slot
from limo_ablate.sweep.worker import BROKEN, Job, Worker, end_workers

FAILED = "failed.json"
"""In a trial's folder: why it failed, its log, the command that reruns it; gone once it runs again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """What a sweep calls, as `module:function`, and what the fork server imports ahead for its workers."""

    trial: str = "limo_ablate.trial:run_trial"
    """(TrialConfig, folder, TrialLabels); leaves metrics.json in the folder."""
    prepare: str = "limo_ablate.trial:prepare_base"
    """(TrialConfig); makes the base model."""
    report: str = "limo_ablate.report:report_study"
    """(study's folder) -> the page; called in the end, by the sweep itself."""
    preload: tuple[str, ...] = (
        "torch",
        "accelerate",
        "limo_ablate.trial",
        "limo_ablate.train.loop",
        "limo_ablate.generate.decoding",
        "transformers.models.qwen2.modeling_qwen2",
        "?limo_ablate.track.run",
    )
    """As `preload.VARIABLE` has them; tracking may be broken, and says so itself."""


@dataclass(frozen=True, slots=True)
class _Running:
    what: Todo | Base
    slot: Slot
    worker: Worker
    log: Path
    started: float

    @property
    def name(self) -> str:
        return self.what.cell.name if isinstance(self.what, Todo) else f"base model {self.what.name}"


class Runner:
    def __init__(
        self,
        study: str,
        folder: Path,
        ledger: Ledger,
        plan: Plan,
        slots: Sequence[Slot],
        progress: Progress,
        interrupts: Interrupts,
        *,
        attempts: int,
        jobs: Jobs,
    ) -> None:
        self._study, self._folder = study, folder
        self._ledger, self._space = ledger, plan.space
        self._progress, self._attempts, self._jobs = progress, attempts, jobs
        self._interrupts, self._free = interrupts, list(slots)
        self._warm = False
        self._running: dict[int, _Running] = {}
        """By the worker's sentinel."""
        self._claimed: dict[int, Todo] = {}
        """By the trial's id in the ledger."""
        self._bases, self._eligible = by_base(plan.todo)
        self.given_up: list[tuple[Cell, str]] = []
        """Cells that failed for good in this run, with the reason."""

    def run(self) -> None:
        """Until nothing is left. However it ends, no process stays and no cell is left as running."""
        try:
            while self._fill() or self._running:
                self._progress.show((r.name, r.started, r.log) for r in self._running.values())
                with self._interrupts.window():
                    ended = wait(list(self._running), timeout=REFRESH_SECONDS)
                for sentinel in ended:
                    assert isinstance(sentinel, int)
                    self._settle(sentinel)
        except BaseException:
            self._abandon()
            raise

    def _fill(self) -> bool:
        """Starts jobs in the free slots; whether any was started."""
        before = len(self._running)
        while self._free and (what := self._next()):
            self._start(what, self._free.pop(0))
        return len(self._running) > before

    def _next(self) -> Todo | Base | None:
        if self._bases:
            return self._bases.pop(0)
        while self._eligible:
            todo = self._eligible.pop(0)
            if self._claim(todo):
                return todo
        return None

    def _claim(self, todo: Todo) -> bool:
        self._claimed[todo.trial] = todo
        if not self._ledger.claim(todo.trial):
            del self._claimed[todo.trial]
        return todo.trial in self._claimed

    def _start(self, what: Todo | Base, slot: Slot) -> None:
        if isinstance(what, Todo):
            config, folder = what.cell.config, self._trial_folder(what)
            job = Job(self._jobs.trial, (config, folder, what.cell.labels(self._study)))
        else:
            config, folder = what.config, self._folder / "bases" / what.name
            job = Job(self._jobs.prepare, (config,))
        (folder / FAILED).unlink(missing_ok=True)
        # the first start waits for seconds, until the fork server has imported the stack
        with nullcontext() if self._warm else self._interrupts.window():
            worker = Worker(job, slot.environment(config.hardware), folder / "trial.log")
        self._warm = True
        self._running[worker.sentinel] = _Running(what, slot, worker, folder / "trial.log", time.monotonic())

    def _trial_folder(self, todo: Todo) -> Path:
        return self._folder / "trials" / todo.cell.folder

    def _settle(self, sentinel: int) -> None:
        """Records the end of a job and frees its slot."""
        running = self._running.pop(sentinel)
        code, reason = running.worker.result()
        self._free.insert(0, running.slot)
        if code == BROKEN:
            raise UserError(f"no trial can run here: {reason}")
        if isinstance(running.what, Base):
            self._settle_base(running, running.what, code, reason)
        else:
            self._settle_cell(running, running.what, code, reason)

    def _finish(self, todo: Todo) -> dict[str, Any] | None:
        """Records the trial's result if it is on disk, and returns it."""
        folder = self._trial_folder(todo)
        if metrics := read_metrics(folder, todo.cell.key):
            self._ledger.finish(todo.trial, metrics, folder)
            del self._claimed[todo.trial]
        return metrics

    def _settle_cell(self, running: _Running, todo: Todo, code: int, reason: str | None) -> None:
        if metrics := self._finish(todo):
            self._progress.finished(todo.cell, metrics, time.monotonic() - running.started)
        else:
            reason = reason or "it ended without writing metrics.json"
            self._fail(todo, reason, running.log, again=_retriable(code) and todo.attempt < self._attempts)

    def _fail(self, todo: Todo, reason: str, log: Path, *, again: bool) -> None:
        self._ledger.fail(todo.trial, reason, log=str(log))
        del self._claimed[todo.trial]
        self._trial_folder(todo).mkdir(parents=True, exist_ok=True)
        failure = {"reason": reason, "log": str(log), "command": rerun_command(todo.cell)}
        (self._trial_folder(todo) / FAILED).write_text(json.dumps(failure, indent=1) + "\n")
        self._progress.failed(todo.cell, todo.attempt, self._attempts, reason, log, again=again)
        if again:
            trial = self._ledger.add(todo.cell, todo.attempt + 1, self._space)
            self._eligible.append(replace(todo, trial=trial, attempt=todo.attempt + 1))
        else:
            self.given_up.append((todo.cell, reason))

    def _settle_base(self, running: _Running, base: Base, code: int, reason: str | None) -> None:
        if code == 0:
            self._progress.say(f"base model {base.name} ready  {time.monotonic() - running.started:.1f} s")
            self._eligible = sorted([*self._eligible, *base.cells], key=lambda todo: todo.order)
        elif _retriable(code) and base.attempt < self._attempts:
            self._progress.say(f"base model {base.name} FAILED, trying again: {reason}; log: {running.log}")
            base.attempt += 1
            self._bases.append(base)
        else:
            for todo in filter(self._claim, base.cells):
                self._fail(todo, f"its base model could not be made: {reason}", running.log, again=False)

    def _abandon(self) -> None:
        """Ends all jobs; a cell whose result made it to the disk is finished, the others wait again."""
        end_workers([running.worker for running in self._running.values()])
        end(self._ledger.mark)
        for todo in list(self._claimed.values()):
            if not self._finish(todo):
                self._ledger.release(todo.trial)


def _retriable(code: int) -> bool:
    """A user's error comes again however often it is tried."""
    return code != EXIT_USER_ERROR
