"""`limo-ablate status`: which trials of a study are finished, running, waiting or failed, and where.

It reads the ledger and the study's folder, so it works beside runners on any machine, and changes nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from optuna.trial import FrozenTrial
from rich.console import Console

from limo_ablate.analysis.results import Results
from limo_ablate.core.command import print_json
from limo_ablate.core.errors import EXIT_USER_ERROR, UserError
from limo_ablate.core.files import check_links
from limo_ablate.core.hardware import device_count
from limo_ablate.core.progress import Progress, read_progress
from limo_ablate.core.project import command
from limo_ablate.core.terminal import Terminal
from limo_ablate.core.text import counted
from limo_ablate.study.budget import Use
from limo_ablate.study.design import load_study
from limo_ablate.study.folder import STUDY, study_folder
from limo_ablate.study.planned import ShownTrial, count_text
from limo_ablate.study.search.search import searches
from limo_ablate.sweep.attempts import BASES, Bases
from limo_ablate.sweep.kept_plan import base_of, read_plan
from limo_ablate.sweep.ledger.lease import LEASE, RUNNERS, Watch
from limo_ablate.sweep.ledger.ledger import History, histories
from limo_ablate.sweep.ledger.same_failures import read_stop
from limo_ablate.sweep.ledger.usage import MachineUsage, usage
from limo_ablate.sweep.live import failure_lines, last_line, readable
from limo_ablate.sweep.session import Session, all_trials, ledger_reader
from limo_ablate.sweep.worker import LOG
from limo_ablate.trial.compose import compose
from limo_ablate.trial.launch_config import LAUNCHERS

Rows = Sequence[FrozenTrial]
"""Rows of a ledger."""
T = TypeVar("T", bound=ShownTrial)
STATES = ("finished", "stale", "running", "waiting", "failed")


@dataclass(frozen=True, slots=True)
class TrialStatus(Generic[T]):
    """The state of a trial, from the ledger."""

    trial: T
    state: str
    """One of STATES."""
    reason: str | None
    """Reason of its last failure, or why its result does not count any more."""
    failures: int
    use: Use
    """What its attempts that have ended have used, at the price that its devices have now."""
    runner: str | None
    """Id of the runner that runs it."""
    folder: Path
    """Folder of the trial."""

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
            "device_seconds": round(self.use.device_seconds, 1),
            "log": str(self.folder / LOG),
        }


@dataclass(frozen=True, slots=True)
class LiveRunner:
    """A runner that is not known to be dead."""

    id: str
    silent: float
    """Seconds since its last sign of life, by this machine's clock."""

    def __str__(self) -> str:
        return self.id if self.silent < LEASE else f"{self.id} (silent for {readable(self.silent)})"


def print_status(name: str | None, overrides: Sequence[str], *, as_json: bool) -> int:
    """Prints a line for each study, or one study with its trials that run or failed; returns the exit code: a
    study among others that can't be read is a line too. Raises UserError."""
    if name and not overrides and (Path(name) / STUDY).is_file():
        folders = [Path(name)]  # composing takes longer than all else
    else:
        root = Path(compose(overrides).paths.studies)
        folders = [study_folder(name, root)] if name else sorted(p.parent for p in root.glob("*/study.yaml"))
    by_folder, unreadable = dict[Path, tuple[list[TrialStatus[ShownTrial]], Rows]](), dict[Path, str]()
    imported: list[Path] = []
    for folder in folders:
        try:
            if not name and load_study(str(folder / "study.yaml")).imported:
                imported.append(folder)
            else:
                by_folder[folder] = _read(folder)
        except UserError as error:
            if name:
                raise
            unreadable[folder] = str(error)
    if as_json:
        facts = [
            _facts(folder, statuses, rows, full=name is not None)
            for folder, (statuses, rows) in by_folder.items()
        ]
        facts += [{"study": folder.name, "imported": True} for folder in imported]
        facts += [{"study": folder.name, "error": why} for folder, why in unreadable.items()]
        print_json(facts[0] if name else facts)
    else:
        console = Terminal(soft_wrap=True)
        for folder, (statuses, rows) in by_folder.items():
            console.print(summary(folder, statuses))
            if name:
                _print_details(folder, statuses, rows, console)
        for folder in imported:
            console.print(f"{folder.name}: imported from logs; `{command('report', folder.name)}`")
        for folder, why in unreadable.items():
            console.print(f"{folder.name}: can't be read: {why}")
        if not folders:
            console.print(f"no study has run in {root}; trials outside a study are not listed")
    return EXIT_USER_ERROR if unreadable else 0


def study_facts(folder: Path) -> dict[str, Any]:
    """The study in `folder` with all of its trials, as JSON."""
    return _facts(folder, *_read(folder), full=True)


def study_statuses(folder: Path) -> list[TrialStatus[ShownTrial]]:
    """Statuses of the trials of the study in `folder`, as it was last run."""
    return _read(folder)[0]


def _read(folder: Path) -> tuple[list[TrialStatus[ShownTrial]], Rows]:
    study = load_study(str(folder / "study.yaml"))
    if kept := read_plan(folder, study):
        check_links(folder)
        rows = ledger_reader(study, folder).rows()
        return trial_statuses(folder, kept, rows), rows
    session = Session.of(study, folder)
    rows = session.reader().rows()
    return trial_statuses(folder, all_trials(session, rows), rows), rows


def trial_statuses(folder: Path, trials: Sequence[T], rows: Sequence[FrozenTrial]) -> list[TrialStatus[T]]:
    """Statuses of `trials` of the study in `folder`, from its ledger's rows."""
    live, found, results = [runner.id for runner in live_runners(folder)], histories(rows), Results(folder)
    return [_state(folder, trial, found.get(trial.id), live, results) for trial in trials]


def live_runners(folder: Path) -> list[LiveRunner]:
    """The runners that are not known to be dead: of another machine's, only how long they are silent is
    known."""
    watch, now, found = Watch(folder), time.time(), []
    for runner in watch.known():
        file = folder / RUNNERS / f"{runner}.json"
        if file.exists() and not watch.is_dead(runner):
            found.append(LiveRunner(runner, round(max(0.0, now - file.stat().st_mtime), 1)))
    return found


def _state(
    folder: Path, trial: T, history: History | None, live: Sequence[str], results: Results
) -> TrialStatus[T]:
    history = history or History(trial.name)
    why = results.why_not(trial)
    reason = history.failures[-1] if history.failures else None
    running = history.running is not None and (history.runner is None or history.runner in live)
    waiting = history.waiting is not None or history.running is not None or reason is None
    if history.pruned or why is None:
        state, reason = "finished", None
    elif history.done:
        state, reason = "stale", why
    else:
        state = "running" if running else "waiting" if waiting else "failed"
    runner = history.runner if state == "running" else None
    where = folder / "trials" / trial.folder
    use = Use.of_devices(trial.hardware.price, history.device_seconds)
    return TrialStatus(trial, state, reason, len(history.failures), use, runner, where)


def summary(folder: Path, found: Sequence[TrialStatus[ShownTrial]]) -> str:
    counts = Counter(state.state for state in found)
    parts = [f"{counts[state]} {state}" for state in STATES if counts[state]]
    if for_bases := sum(count for _, count in bases_in_making(folder, found).values()):
        place = next(place for place, part in enumerate(parts) if part.endswith("waiting"))
        parts[place] += f" ({for_bases} for a base model)"
    if later := unproposed(folder, found):
        parts.append(f"{later} not proposed yet")
    spent = sum((state.use for state in found), Use())
    cost = f", a cost of {spent.money:,.2f}" if spent.money else ""
    live = ", ".join(map(str, live_runners(folder)))
    trials = count_text([state.trial for state in found], len(found) + later)
    return (
        f"{folder.name}: {trials}: {', '.join(parts)}; {spent.device_seconds / 3600:.2f} device-hours{cost}"
        + (f"; runners: {live}" if live else "")
    )


def bases_in_making(
    folder: Path, found: Sequence[TrialStatus[ShownTrial]]
) -> dict[str, tuple[Progress, int]]:
    """Base model that a runner is making -> its progress, and the number of trials that wait for it."""
    bases, waiting = Bases(), [state.trial for state in found if state.state == "waiting"]
    if not waiting or not live_runners(folder):
        return {}
    counts = Counter(name for one in waiting if (name := base_of(one, bases)))
    progress = {name: read_progress(folder / BASES / name) for name in counts}
    return {name: (reached, counts[name]) for name, reached in progress.items() if reached}


def base_lines(folder: Path, found: Sequence[TrialStatus[ShownTrial]]) -> Iterator[str]:
    for name, (progress, count) in bases_in_making(folder, found).items():
        left = f", {readable(progress.left)} left of it" if progress.left else ""
        yield f"  base model {name}: {progress}{left}; waiting for it: {counted(count, 'trial')}"
        yield f"    log:   {folder / BASES / name / LOG}"


def unproposed(folder: Path, statuses: Sequence[TrialStatus[ShownTrial]]) -> int:
    """Number of trials that the study's searches may still propose."""
    of_searches = sum(status.trial.proposal is not None for status in statuses)
    return sum(search.n for search in searches(load_study(str(folder / "study.yaml")))) - of_searches


def _usage(found: Sequence[TrialStatus[ShownTrial]], rows: Rows) -> list[MachineUsage]:
    return usage(rows, {state.trial.id: device_count(state.trial.hardware) for state in found}, time.time())


def _usage_line(machine: MachineUsage) -> str:
    attempts = ", ".join(f"{count} {state}" for state, count in sorted(machine.attempts.items()))
    spent = f"{machine.device_seconds / 3600:.2f} device-hours on {counted(machine.devices, 'device')}"
    in_use = f"{100 * machine.busy:.0f} % of the time in use"
    return f"  machine {machine.name or 'unknown'}: {attempts}; {spent}, {in_use}"


def _print_details(
    folder: Path, found: Sequence[TrialStatus[ShownTrial]], rows: Rows, console: Console
) -> None:
    for machine in _usage(found, rows):
        console.print(_usage_line(machine))
    for line in base_lines(folder, found):
        console.print(line)
    for state in found:
        if state.state == "running":
            progress = state.progress
            left = f", {readable(progress.left)} left of it" if progress and progress.left else ""
            console.print(f"  running: {state.trial.name}  {progress or 'starting'}{left}  by {state.runner}")
            console.print(f"    log:   {state.folder / LOG}  {last_line(state.folder / LOG)}".rstrip())
    for reason, count in Counter(state.reason for state in found if state.state == "stale").most_common():
        again = command("sweep", str(folder / STUDY))
        console.print(f"  stale: {counted(count, 'trial')}: {reason}; `{again}` runs what is stale again")
    failed = [state for state in found if state.state == "failed"]
    for line in failure_lines((state.trial, state.reason or "", state.folder / LOG) for state in failed):
        console.print(line)
    if stop := read_stop(folder):
        console.print(f"  {stop}")
    if failed:
        console.print(f"  new attempts: {command('retry', str(folder))}")
    for executor in {state.trial.executor for state in found}:
        for line in LAUNCHERS.load(executor).lines(folder):
            console.print(line)


def _facts(
    folder: Path, found: Sequence[TrialStatus[ShownTrial]], rows: Rows, *, full: bool
) -> dict[str, Any]:
    counts = Counter(state.state for state in found)
    facts = {
        "study": folder.name,
        "folder": str(folder),
        "trials": len(found) + (later := unproposed(folder, found)),
        **{state: counts[state] for state in STATES},
        "not_proposed": later,
        "device_seconds": round(sum(state.use.device_seconds for state in found), 1),
        "money": round(sum(state.use.money for state in found), 2),
        "bases": [
            {"base": name, "progress": str(progress), "waiting": count}
            for name, (progress, count) in bases_in_making(folder, found).items()
        ],
        "runners": [asdict(runner) for runner in live_runners(folder)],
        "machines": [asdict(machine) for machine in _usage(found, rows)],
    }
    return facts | ({"each": [state.facts() for state in found]} if full else {})
