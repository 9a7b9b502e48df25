"""What of a study is done, running, waiting or failed, and where; what `limo-ablate status` prints.

From the ledger and the study's folder alone, so that it works beside runners on any machine. It only reads.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from rich.console import Console

from limo_ablate.core.progress import Progress, read_progress
from limo_ablate.core.project import command
from limo_ablate.study.design import load_study
from limo_ablate.study.folder import study_folder
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.study.search.search import searches
from limo_ablate.sweep.attempts import LOG
from limo_ablate.sweep.ledger.lease import LEASE, RUNNERS, Watch
from limo_ablate.sweep.ledger.ledger import History, histories
from limo_ablate.sweep.live import last_line, readable, rerun_command
from limo_ablate.sweep.session import Session, all_trials
from limo_ablate.trial.compose import compose

STATES = ("finished", "running", "waiting", "failed")


@dataclass(frozen=True, slots=True)
class State:
    """A trial as the ledger has it."""

    trial: PlannedTrial
    state: str
    """One of STATES."""
    reason: str | None
    """Of its last failure."""
    failures: int
    device_seconds: float
    """Spent on all its attempts that have ended."""
    runner: str | None
    """Who runs it."""
    folder: Path
    """The trial's."""

    @property
    def progress(self) -> Progress | None:
        return read_progress(self.folder) if self.state == "running" else None

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "trial": self.trial.name,
            "state": self.state,
            "failures": self.failures,
            "reason": self.reason,
            "runner": self.runner,
            "progress": str(self.progress) if self.progress else None,
            "device_seconds": round(self.device_seconds, 1),
            "log": str(self.folder / LOG),
        }


@dataclass(frozen=True, slots=True)
class Alive:
    """A runner that is not known to be dead."""

    id: str
    silent: float
    """Seconds since its last sign of life, by this machine's clock."""

    def __str__(self) -> str:
        return self.id if self.silent < LEASE else f"{self.id} (silent for {readable(self.silent)})"


def print_status(name: str | None, overrides: Sequence[str], *, as_json: bool) -> None:
    """Prints a line for each study, or one study with its trials that run or failed. Raises UserError."""
    root = Path(compose(overrides).paths.studies)
    folders = [study_folder(name, root)] if name else sorted(p.parent for p in root.glob("*/study.yaml"))
    found = {folder: states(folder) for folder in folders}
    if as_json:
        told = [_facts(folder, trials, full=name is not None) for folder, trials in found.items()]
        print(json.dumps(told[0] if name else told, indent=1))
        return
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for folder, trials in found.items():
        console.print(summary(folder, trials))
        if name:
            _tell(folder, trials, console)


def states(folder: Path) -> list[State]:
    """The trials of the study in `folder`, as it was last run."""
    session = Session.of(load_study(str(folder / "study.yaml")), folder)
    rows = session.reading().rows()
    return states_of(folder, all_trials(session, rows), rows)


def states_of(folder: Path, trials: Sequence[PlannedTrial], rows: Sequence[FrozenTrial]) -> list[State]:
    """All trials of the study in `folder`, by its ledger's rows."""
    live, found = [runner.id for runner in runners(folder)], histories(rows)
    return [_state(folder, trial, found.get(trial.id), live) for trial in trials]


def runners(folder: Path) -> list[Alive]:
    """Without those of this machine that died; of others, only for how long they are silent is known."""
    watch, now, found = Watch(folder), time.time(), []
    for runner in watch.known():
        file = folder / RUNNERS / f"{runner}.json"
        if file.exists() and not watch.is_dead(runner):
            found.append(Alive(runner, round(max(0.0, now - file.stat().st_mtime), 1)))
    return found


def _state(folder: Path, trial: PlannedTrial, history: History | None, live: Sequence[str]) -> State:
    history = history or History(trial.name)
    reason = history.failures[-1] if history.failures else None
    running = history.running is not None and (history.runner is None or history.runner in live)
    waiting = history.waiting is not None or history.running is not None or reason is None
    if history.done or history.pruned:
        state, reason = "finished", None
    else:
        state = "running" if running else "waiting" if waiting else "failed"
    runner = history.runner if state == "running" else None
    where = folder / "trials" / trial.folder
    return State(trial, state, reason, len(history.failures), history.device_seconds, runner, where)


def summary(folder: Path, found: Sequence[State]) -> str:
    counts = Counter(state.state for state in found)
    parts = [f"{counts[state]} {state}" for state in STATES if counts[state]]
    if later := unproposed(folder, found):
        parts.append(f"{later} not proposed yet")
    spent = sum(state.device_seconds for state in found) / 3600
    live = ", ".join(map(str, runners(folder)))
    return f"{folder.name}: {len(found) + later} trials: {', '.join(parts)}; {spent:.2f} device-hours" + (
        f"; runners: {live}" if live else ""
    )


def unproposed(folder: Path, found: Sequence[State]) -> int:
    """Trials that the study's searches may still propose."""
    of_searches = sum(state.trial.proposal is not None for state in found)
    return sum(search.n for search in searches(load_study(str(folder / "study.yaml")))) - of_searches


def _tell(folder: Path, found: Sequence[State], console: Console) -> None:
    from limo_ablate.sweep.launchers.slurm import job_lines

    for state in found:
        if state.state == "running":
            progress = state.progress
            left = f", {readable(progress.left)} left of it" if progress and progress.left else ""
            console.print(f"  running: {state.trial.name}  {progress or 'starting'}{left}  by {state.runner}")
            console.print(f"    log:   {state.folder / LOG}  {last_line(state.folder / LOG)}".rstrip())
    failed = [state for state in found if state.state == "failed"]
    for state in failed:
        console.print(f"  failed: {state.trial.name}  {state.reason}")
        console.print(f"    log:   {state.folder / LOG}\n    rerun: {rerun_command(state.trial)}")
    if failed:
        console.print(f"  new attempts: {command('retry', str(folder))}")
    for line in job_lines(folder):
        console.print(line)


def _facts(folder: Path, found: Sequence[State], *, full: bool) -> dict[str, Any]:
    counts = Counter(state.state for state in found)
    told = {
        "study": folder.name,
        "folder": str(folder),
        "trials": len(found) + (later := unproposed(folder, found)),
        **{state: counts[state] for state in STATES},
        "not_proposed": later,
        "device_seconds": round(sum(state.device_seconds for state in found), 1),
        "runners": [asdict(runner) for runner in runners(folder)],
    }
    return told | ({"each": [state.facts() for state in found]} if full else {})
