"""What a study is at, as JSON: from its ledger and folder, as `limo-ablate status` reads them."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from limo_ablate.core.hardware import device_count
from limo_ablate.study.design import load_study
from limo_ablate.sweep.attempts import LOG
from limo_ablate.sweep.live import last_line, rerun_command
from limo_ablate.sweep.plan.cost import Costs
from limo_ablate.sweep.session import Session, all_trials
from limo_ablate.sweep.status import STATES, State, runners, states_of

FAILURES, RESULTS = 10, 8
"""The last of each that are told."""
PATIENCE = 5.0
"""Seconds that a ledger may be away before that is told."""
TAIL_BYTES, TAIL_LINES = 16_000, 30
"""Of a failed trial's log."""
_COMPOSING = threading.Lock()
"""Hydra has one state for all threads."""


class StudyReader:
    """A study that is looked at again and again: what does not change is kept."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError for what is no study."""
        self.folder = folder
        self._declared = _changed(folder / "study.yaml")
        study = load_study(str(folder / "study.yaml"))
        with _COMPOSING:
            self._session = Session.of(study, folder)
        self._ledger = self._session.reading(PATIENCE)
        self._costs = Costs()
        self._learnt = -1

    @property
    def outdated(self) -> bool:
        """Whether the study has been declared anew."""
        return _changed(self.folder / "study.yaml") != self._declared

    def state(self) -> tuple[Any, ...]:
        """Changes with all that the facts come from; never the same twice where that can't be seen."""
        file = self._ledger.file
        if file is None or any((self.folder / "runners").glob("*.json")):
            return (object(),)
        stats = [path.stat() for path in (self.folder / "study.yaml", file) if path.exists()]
        return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)

    def facts(self) -> dict[str, Any]:
        """All that the page of the study shows."""
        rows = self._ledger.rows()
        with _COMPOSING:
            cells = all_trials(self._session, rows)
        found, started = states_of(self.folder, cells, rows), _started(rows)
        budget, spent = self._session.study.budget, sum(state.device_seconds for state in found)
        now = sum(
            started.get(state.trial.id, 0.0) * device_count(state.trial.config.hardware)
            for state in found
            if state.state == "running"
        )
        return {
            **self.summary(found),
            "question": self._session.study.question,
            "device_hours": (spent + now) / 3600,
            "budget_hours": budget.gpu_hours if budget else None,
            "runners": [asdict(runner) for runner in runners(self.folder)],
            "slots": self._session.launch.slots,
            "left": self._left(found, rows, started),
            "running": [_running(s, started.get(s.trial.id)) for s in found if s.state == "running"],
            "failed": [_failed(s) for s in found if s.state == "failed"][-FAILURES:],
            "results": _results(rows),
        }

    def summary(self, found: Sequence[State]) -> dict[str, Any]:
        """How many cells are in which state."""
        counts = Counter(state.state for state in found)
        told = {f"{state}_cells": counts[state] for state in STATES}
        return {"study": self.folder.name, "cells": len(found), **told}

    def _left(
        self, found: Sequence[State], rows: Sequence[FrozenTrial], started: dict[str, float]
    ) -> float | None:
        """Seconds until all is run, at as many at a time as now; None while none runs or has finished."""
        side_by_side = sum(state.state == "running" for state in found)
        finished = sum(state.state == "finished" for state in found)
        if not side_by_side or not finished:
            return None
        if finished != self._learnt:
            self._costs.learn(rows, [state.trial for state in found])
            self._learnt = finished
        seconds = sum(
            max(0.0, self._costs.seconds(state.trial) - started.get(state.trial.id, 0.0))
            for state in found
            if state.state in ("running", "waiting")
        )
        return seconds / side_by_side


def tail(log: Path) -> str:
    """The last lines of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.replace("\r", "\n").splitlines()[-TAIL_LINES:])


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns


def _started(rows: Sequence[FrozenTrial]) -> dict[str, float]:
    """Cell -> seconds since the attempt that runs was claimed."""
    return {
        row.user_attrs["key"]: max(0.0, time.time() - row.datetime_start.timestamp())
        for row in rows
        if row.state.name == "RUNNING" and row.datetime_start
    }


def _running(state: State, seconds: float | None) -> dict[str, Any]:
    progress = state.progress
    return {
        "cell": state.trial.name,
        "runner": state.runner,
        "seconds": seconds,
        "stage": progress.stage if progress else None,
        "done": progress.done if progress else None,
        "total": progress.total if progress else None,
        "left": progress.left if progress else None,
        "speed": progress.speed if progress else None,
        "line": last_line(state.folder / LOG),
    }


def _failed(state: State) -> dict[str, Any]:
    return {
        "cell": state.trial.name,
        "reason": state.reason,
        "failures": state.failures,
        "log": str(state.folder / LOG),
        "tail": tail(state.folder / LOG),
        "command": rerun_command(state.trial),
    }


def _results(rows: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    """The last ones first."""
    ended = [(row.datetime_complete.timestamp(), row) for row in rows if row.datetime_complete]
    done = [(at, row) for at, row in ended if row.state.name == "COMPLETE"]
    done.sort(key=lambda pair: pair[0], reverse=True)
    return [
        {
            "cell": row.user_attrs["cell"],
            "ago": max(0.0, time.time() - at),
            "scores": {
                name: {key: _number(score.get(key)) for key in ("accuracy", "stderr")}
                for name, score in row.user_attrs.get("result", {}).get("scores", {}).items()
            },
        }
        for at, row in done[:RESULTS]
    ]


def _number(value: Any) -> float | None:
    """What JSON can hold: the error of a single problem is no number."""
    return value if isinstance(value, int | float) and math.isfinite(value) else None
