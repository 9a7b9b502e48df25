"""Runs a study to its end, resumably; what `limo-ablate sweep` does."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import yaml
from rich.console import Console

from limo_ablate.core.errors import EXIT_INTERRUPTED, EXIT_TRIALS_FAILED, UserError, is_disk_full
from limo_ablate.core.project import command
from limo_ablate.study.design import Study
from limo_ablate.study.folder import REGISTRATION, STUDY
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.interrupts import Interrupts
from limo_ablate.sweep.ledger.declaration import declare
from limo_ablate.sweep.ledger.flock import coordinator
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.ledger.ledger import Ledger
from limo_ablate.sweep.ledger.queue import Queue
from limo_ablate.sweep.live import rerun_command
from limo_ablate.sweep.plan.cost import Costs
from limo_ablate.sweep.runner import Commands, LeaseLost
from limo_ablate.sweep.session import RunnerOptions, Session
from limo_ablate.sweep.worker import Call

COMMANDS = Commands()
SEEN_AS = "seen_as"
"""File in a study's folder: the folder as seen from where `sweep` runs; a `join` must see it so too."""
LOST = "this process stood still for so long that others may have taken its trials; the same command goes on"


def run(
    study: Study, folder: Path | None = None, commands: Commands = COMMANDS, *, extend: bool = False
) -> int:
    """Runs `study` in `folder` (by default its own under `paths.studies`); returns the exit code."""
    session = Session.of(study, folder)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    try:
        with ExitStack() as held:
            interrupts = held.enter_context(Interrupts())
            ledger = _checked(session, interrupts)
            held.enter_context(coordinator(session.folder))
            lease = held.enter_context(Lease(session.folder))
            options = RunnerOptions(
                commands=commands, console=console, interrupts=interrupts, waits_for_others=True
            )
            queue = _run_missing(session, ledger, lease, options, extend=extend)
            _write_study(study, queue.trials, session.folder)
            _tell_given_up(study, queue, console)
            with interrupts.window():
                _report(session.folder, commands, console)
    except KeyboardInterrupt as interrupt:
        console.print(
            f"interrupted: {str(interrupt) or 'what was running waits again; the same command goes on'}"
        )
        return EXIT_INTERRUPTED
    except LeaseLost:
        console.print(LOST)
        return EXIT_INTERRUPTED
    except OSError as error:
        raise told(error, session.folder) from error
    return EXIT_TRIALS_FAILED if queue.given_up else 0


def _checked(session: Session, interrupts: Interrupts) -> Ledger:
    """The study's ledger. Raises UserError, before anything is made, where what is left could not run."""
    ledger = session.ledger(interrupts.pause) if session.declared else None
    if ledger is None or not session.finished(ledger.rows()):
        session.launcher.check()
    return ledger or session.ledger(interrupts.pause)


def told(error: OSError, folder: Path) -> Exception:
    """A full disk as a user's error: nothing is lost, and the same command goes on."""
    if not is_disk_full(error):
        return error
    return UserError(f"{folder}: {error.strerror}; nothing is lost: free some, and the same command goes on")


def _run_missing(
    session: Session, ledger: Ledger, lease: Lease, options: RunnerOptions, *, extend: bool
) -> Queue:
    """Runs what the ledger does not have; returns the queue as it is then."""
    study, costs = session.study, Costs()
    declare(ledger, study, session.found, extend=extend)
    queue = session.queue(ledger, lease, costs, reopen=True)
    _write_study(study, queue.trials, session.folder)
    budget_guard = session.budget_guard(queue, costs)
    left = queue.total - queue.done - len(queue.given_up)
    if not queue.waiting and not queue.elsewhere:
        state = f"{queue.done} of {queue.total} trials are finished, nothing left to do"
        options.console.print(f"{study.name}: {state}")
        return queue
    elsewhere = f", {queue.elsewhere} in other runners" if queue.elsewhere else ""
    state = f"{queue.done} finished{elsewhere}, {left} to do, {session.launcher.side_by_side()} at a time"
    options.console.print(f"{study.name}: {queue.total} trials, {state}")
    tell_not_run(session.launcher.run(queue, budget_guard, lease, options), options.console)
    queue.refresh()
    return queue


def tell_not_run(trials: Sequence[PlannedTrial], console: Console) -> None:
    """What the budget did not allow."""
    if trials:
        console.print(f"{len(trials)} trials were not run, to stay within the budget; a larger one goes on:")
        console.print("\n".join(f"  {trial.name}" for trial in trials))


def _write_study(study: Study, found: Sequence[PlannedTrial], folder: Path) -> None:
    """study.yaml and cells.json, for the report and for other runners."""
    _update(folder / SEEN_AS, os.path.relpath(folder) + "\n")
    declared = json.loads(json.dumps(asdict(study)))
    _update(folder / "study.yaml", yaml.safe_dump(declared, sort_keys=False, allow_unicode=True))
    rows = [
        {
            "name": trial.name,
            "key": trial.key,
            "folder": trial.folder,
            "seed": trial.seed,
            "blocks": trial.blocks,
            "overrides": trial.labels(study.name).cell,
        }
        for trial in found
    ]
    _update(folder / "cells.json", json.dumps(rows, indent=1) + "\n")


def _update(path: Path, text: str) -> None:
    """Leaves a file that says so already alone, so that a report is known to be up to date."""
    if not path.exists() or path.read_text() != text:
        partial = path.with_suffix(".partial")
        partial.write_text(text)
        partial.replace(path)


def _tell_given_up(study: Study, queue: Queue, console: Console) -> None:
    if not queue.given_up:
        return
    console.print(f"{len(queue.given_up)} of {queue.total} trials failed, and are left alone:")
    for trial, reason in queue.given_up:
        console.print(f"  {trial.name}: {reason}\n    rerun: {rerun_command(trial)}")
    found = queue.ledger.histories()
    early = sum(len(found[trial.id].failures) < queue.attempts for trial, _ in queue.given_up)
    if early:
        console.print(f"{early} of them would have failed in the same way again: the next sweep tries them")
    if early < len(queue.given_up):
        console.print(f"new attempts: {command('retry', study.name)} [TRIAL ...], then the same sweep again")


def _report(folder: Path, commands: Commands, console: Console) -> None:
    """Draws the report if there is anything to draw and what it shows has changed since."""
    if not any(folder.glob("trials/*/metrics.json")):
        return
    page = folder / "report" / "index.html"
    named = (folder / name for name in ("cells.json", STUDY, REGISTRATION))
    sources = [*(file for file in named if file.exists()), *folder.glob("trials/*/metrics.json")]
    if not page.exists() or any(source.stat().st_mtime > page.stat().st_mtime for source in sources):
        page = Call(commands.report, (folder,))()
    console.print(f"report: {page}")
