"""The state of a study as JSON, read from its ledger and folder as by `limo-ablate status`."""

from __future__ import annotations

import math
import re
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from limo_ablate.core.files import check_links
from limo_ablate.core.hardware import device_count
from limo_ablate.study.design import load_study
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.study.search.pruning import read_reports
from limo_ablate.sweep.live import last_lines, rerun_command
from limo_ablate.sweep.plan.cost import Costs
from limo_ablate.sweep.session import Session, all_trials
from limo_ablate.sweep.status import STATES, TrialStatus, live_runners, trial_statuses
from limo_ablate.sweep.worker import LOG

FAILURES, RESULTS = 10, 20
"""Maximum number of failures and of results shown, the latest ones."""
PATIENCE = 5.0
"""Seconds to wait for a ledger before its absence is reported."""
TAIL_BYTES, TAIL_LINES = 16_000, 30
"""Length of the shown end of a trial's log."""
CURVE_BYTES, CURVE_POINTS = 200_000, 200
"""How much of the end of a running trial's log is searched for losses, and how many of them are sent."""
LOSS = re.compile(r"step (\d+)  loss (\d+\.\d+)")
"""As a training logs each step (limo_ablate/trial/run.py)."""
_COMPOSING = threading.Lock()
"""Held while composing: Hydra has one global state for all threads."""


class StudyReader:
    """Reads a study repeatedly and caches what does not change."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError if the folder is not a study's."""
        self.folder = folder
        check_links(folder)
        self._declared = _changed(folder / "study.yaml")
        study = load_study(str(folder / "study.yaml"))
        with _COMPOSING:
            self._session = Session.of(study, folder)
        self._ledger = self._session.reader(PATIENCE)
        self._costs = Costs()
        self._learnt = -1

    @property
    def outdated(self) -> bool:
        """Whether study.yaml has been changed since."""
        return _changed(self.folder / "study.yaml") != self._declared

    def state(self) -> tuple[Any, ...]:
        """A value that changes when the sources of the facts change; unique each time if that can't be
        detected."""
        file = self._ledger.file
        if file is None or any((self.folder / "runners").glob("*.json")):
            return (object(),)
        stats = [path.stat() for path in (self.folder / "study.yaml", file) if path.exists()]
        return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)

    def facts(self) -> dict[str, Any]:
        """The facts shown on the study's page."""
        rows = self._ledger.rows()
        with _COMPOSING:
            trials = all_trials(self._session, rows)
        states, started = trial_statuses(self.folder, trials, rows), _started(rows)
        budget, spent = self._session.study.budget, sum(state.use.device_seconds for state in states)
        now = sum(
            started.get(state.trial.id, 0.0) * device_count(state.trial.config.hardware)
            for state in states
            if state.state == "running"
        )
        return {
            **self.summary(states),
            "question": self._session.study.question,
            "device_hours": (spent + now) / 3600,
            "budget_hours": budget.gpu_hours if budget else None,
            "runners": [asdict(runner) for runner in live_runners(self.folder)],
            "slots": self._session.launch.slots,
            "left": self._left(states, rows, started),
            "running": [_running(s, started.get(s.trial.id)) for s in states if s.state == "running"],
            "failed": [_failed(s) for s in states if s.state == "failed"][-FAILURES:],
            "results": _results(rows),
        }

    def summary(self, states: Sequence[TrialStatus[PlannedTrial]]) -> dict[str, Any]:
        """How many trials are in which state."""
        counts = Counter(state.state for state in states)
        state_counts = {f"{state}_trials": counts[state] for state in STATES}
        return {"study": self.folder.name, "trials": len(states), **state_counts}

    def _left(
        self,
        states: Sequence[TrialStatus[PlannedTrial]],
        rows: Sequence[FrozenTrial],
        started: dict[str, float],
    ) -> float | None:
        """Forecast of the remaining seconds at the current parallelism; None if no trial runs or has
        finished."""
        side_by_side = sum(state.state == "running" for state in states)
        finished = sum(state.state == "finished" for state in states)
        if not side_by_side or not finished:
            return None
        if finished != self._learnt:
            self._costs.learn(rows, [state.trial for state in states], self.folder)
            self._learnt = finished
        seconds = sum(
            max(0.0, self._costs.seconds(state.trial) - started.get(state.trial.id, 0.0))
            for state in states
            if state.state in ("running", "waiting")
        )
        return seconds / side_by_side


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns


def _started(rows: Sequence[FrozenTrial]) -> dict[str, float]:
    """Id of a running trial -> seconds since it was claimed."""
    return {
        row.user_attrs["key"]: max(0.0, time.time() - row.datetime_start.timestamp())
        for row in rows
        if row.state.name == "RUNNING" and row.datetime_start
    }


def _running(state: TrialStatus[PlannedTrial], seconds: float | None) -> dict[str, Any]:
    progress = state.progress
    log = last_lines(state.folder / LOG, CURVE_BYTES)
    scores = list(read_reports(state.folder).values())
    return {
        "trial": state.trial.name,
        "runner": state.runner,
        "seconds": seconds,
        "stage": progress.stage if progress else None,
        "done": progress.done if progress else None,
        "total": progress.total if progress else None,
        "left": progress.left if progress else None,
        "speed": progress.speed if progress else None,
        "tail": "\n".join(log[-TAIL_LINES:]),
        "losses": _losses(log),
        "scored": len(scores),
        "score": sum(scores) / len(scores) if scores else None,
    }


def _losses(log: Sequence[str]) -> list[tuple[int, float]]:
    """(step, loss) of the training, thinned out evenly; the last step is always there."""
    by_step = {int(match[1]): float(match[2]) for line in log if (match := LOSS.match(line))}
    found = sorted(by_step.items())  # an attempt that was resumed has steps again
    every = len(found) // CURVE_POINTS + 1
    return found[::-1][::every][::-1]


def _failed(state: TrialStatus[PlannedTrial]) -> dict[str, Any]:
    return {
        "trial": state.trial.name,
        "reason": state.reason,
        "failures": state.failures,
        "log": str(state.folder / LOG),
        "tail": "\n".join(last_lines(state.folder / LOG, TAIL_BYTES)[-TAIL_LINES:]),
        "command": rerun_command(state.trial),
    }


def _results(rows: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    """The latest results, newest first."""
    ended = [(row.datetime_complete.timestamp(), row) for row in rows if row.datetime_complete]
    finished = [(at, row) for at, row in ended if row.state.name == "COMPLETE"]
    finished.sort(key=lambda pair: pair[0], reverse=True)
    return [
        {
            "trial": row.user_attrs["cell"],
            "ago": max(0.0, time.time() - at),
            "scores": {
                name: {key: _number(score.get(key)) for key in ("accuracy", "stderr")}
                for name, score in row.user_attrs.get("result", {}).get("scores", {}).items()
            },
        }
        for at, row in finished[:RESULTS]
    ]


def _number(value: Any) -> float | None:
    """The value if JSON can represent it: the error over a single problem is NaN."""
    return value if isinstance(value, int | float) and math.isfinite(value) else None
