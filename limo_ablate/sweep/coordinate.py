"""`limo-ablate sweep`: runs a study to its end; the same command resumes it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import yaml
from optuna.trial import FrozenTrial
from rich.console import Console

from limo_ablate.core.errors import EXIT_INTERRUPTED, EXIT_TRIALS_FAILED, UserError, is_disk_full
from limo_ablate.core.files import write_atomically
from limo_ablate.core.project import command
from limo_ablate.core.terminal import Terminal
from limo_ablate.core.text import counted
from limo_ablate.model.train.model_config import may_allow_code
from limo_ablate.study.design import Study
from limo_ablate.study.folder import REGISTRATION, REPORT, REPORT_ERRORS, SEEN_AS, STUDY
from limo_ablate.study.planned import PlannedTrial, count_text
from limo_ablate.study.search.propose import first_proposals
from limo_ablate.sweep.interrupts import Interrupts
from limo_ablate.sweep.kept_plan import write_plan
from limo_ablate.sweep.launchers.launcher import load_launcher
from limo_ablate.sweep.ledger.declaration import declare
from limo_ablate.sweep.ledger.flock import coordinator
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.ledger.ledger import Ledger, histories
from limo_ablate.sweep.ledger.queue import Queue
from limo_ablate.sweep.ledger.same_failures import SameFailures, clear_stop
from limo_ablate.sweep.live import failure_lines
from limo_ablate.sweep.looks import Looks
from limo_ablate.sweep.notify import Notifier
from limo_ablate.sweep.plan.cost import Costs
from limo_ablate.sweep.plan.preflight import check_trials
from limo_ablate.sweep.plan.text import span
from limo_ablate.sweep.reconcile import Differences, differences, reasons, reconcile
from limo_ablate.sweep.runner import Commands, LeaseLost
from limo_ablate.sweep.session import RunnerOptions, Session
from limo_ablate.sweep.trust import check_trust, named, remember
from limo_ablate.sweep.worker import LOG, Call

COMMANDS = Commands()
LEASE_LOST = (
    "this process was suspended for so long that others may have taken its trials; "
    "run the same command again to continue"
)


def run(
    study: Study,
    folder: Path | None = None,
    commands: Commands = COMMANDS,
    *,
    extend: bool = False,
    keep_stale: bool = False,
    typed: Sequence[str] | None = None,
    trust: bool = False,
    quiet: bool = False,
) -> int:
    """Runs `study` in `folder` (by default its own under `paths.studies`); returns the exit code.

    `typed`: the user's overrides of a study file, which may be from others; None: the study is the user's
    own; `trust`: whether what it names may run; `quiet`: prints nothing of trials that finish.
    """
    session = Session.of(study, folder)
    if typed is not None:
        check_trust(study.name, session.trials, session.searches, typed, trust=trust)
    may_allow_code()  # the study is the user's own, or trusted
    remember(named(session.trials, session.searches, ()))  # a join finds in study.yaml what was typed, too
    console = Terminal(soft_wrap=True)
    with Notifier(session.launch.notify, session.folder, console.print) as notifier:
        notifier.exit_code = _run(
            session, commands, console, notifier, extend=extend, keep_stale=keep_stale, quiet=quiet
        )
    return notifier.exit_code


def _run(
    session: Session,
    commands: Commands,
    console: Console,
    notifier: Notifier,
    *,
    extend: bool,
    keep_stale: bool,
    quiet: bool,
) -> int:
    try:
        with ExitStack() as held:
            interrupts = held.enter_context(Interrupts())
            ledger, differ = _checked_ledger(session, interrupts, commands, console, keep_stale=keep_stale)
            held.enter_context(coordinator(session.folder))
            lease = held.enter_context(Lease(session.folder))
            options = RunnerOptions(
                commands=commands,
                console=console,
                interrupts=interrupts,
                waits_for_others=True,
                quiet=quiet,
            )
            queue = _run_missing(session, ledger, lease, options, differ, notifier, extend=extend)
            write_study(session.study, queue.trials, session.folder)
            _print_given_up(session, queue, console)
            with interrupts.window():
                anew = bool(differ.kept or differ.finished)
                undrawn = _report(session.folder, commands, console, anew=anew)
    except KeyboardInterrupt as interrupt:
        console.print(
            f"interrupted: {str(interrupt) or 'running trials wait again; run the same command to continue'}"
        )
        return EXIT_INTERRUPTED
    except LeaseLost:
        console.print(LEASE_LOST)
        return EXIT_INTERRUPTED
    except OSError as error:
        raise explain_full_disk(error, session.folder) from error
    failed = queue.given_up or queue.same_failures.stop or undrawn
    return EXIT_TRIALS_FAILED if failed else 0


def _checked_ledger(
    session: Session, interrupts: Interrupts, commands: Commands, console: Console, *, keep_stale: bool
) -> tuple[Ledger, Differences]:
    """The study's ledger, and where the results on disk differ from it.

    Raises UserError, before anything is created, where what is left could not run.
    """
    Looks(session.study, session.trials, session.folder).check()
    ledger = session.ledger(interrupts.pause) if session.declared else None
    rows = ledger.rows() if ledger else []
    differ = differences(session, rows, keep_stale=keep_stale)
    if differ.again or not session.finished(rows):
        if commands.checked:
            _check_left(session, rows, differ, console)
        load_launcher(session).check()
    return ledger or session.ledger(interrupts.pause), differ


def _check_left(session: Session, rows: Sequence[FrozenTrial], differ: Differences, console: Console) -> None:
    """Raises UserError with all that would make trials fail, of those that are left to run."""
    again, found = {trial.id for trial, _ in differ.again}, histories(rows)
    done = {id for id, history in found.items() if (history.done or history.pruned) and id not in again}
    done |= {trial.id for trial in differ.finished}
    known = (*session.trials, *first_proposals(session.searches, rows))
    refuse_unfit([trial for trial in known if trial.id not in done], console)


def refuse_unfit(trials: Sequence[PlannedTrial], console: Console) -> None:
    """Raises UserError with all that would make these trials fail here."""
    checked = check_trials([(trial.name, trial.config) for trial in trials])
    for line in checked.lines(checked.broken):
        console.print(line)
    checked.refuse()


def explain_full_disk(error: OSError, folder: Path) -> Exception:
    """A UserError for a full disk; any other error as it is."""
    if not is_disk_full(error):
        return error
    return UserError(f"{folder}: {error.strerror}; nothing is lost: free some and run the same command again")


def _run_missing(
    session: Session,
    ledger: Ledger,
    lease: Lease,
    options: RunnerOptions,
    differ: Differences,
    notifier: Notifier,
    *,
    extend: bool,
) -> Queue:
    """Runs what is missing in the ledger; returns the queue afterwards."""
    study, costs, launcher = session.study, Costs(), load_launcher(session)
    slots = launcher.side_by_side()
    declare(ledger, study, session.trials, extend=extend)
    if differ.again:  # another sweep may have run them before this one held the study
        differ = differences(session, ledger.rows(), keep_stale=bool(differ.kept))
    for line in differ.lines():
        options.console.print(f"{study.name}: {line}")
    reconcile(session, ledger, lease.id, differ)
    clear_stop(session.folder)
    same_failures = SameFailures(
        session.folder,
        session.launch.max_same_failures,
        on_first=notifier.failure,
        on_stop=options.console.print,
    )
    queue = session.queue(ledger, lease, costs, same_failures, slots=slots, reopen=True)
    write_study(study, queue.trials, session.folder)
    write_plan(session.folder, session.digest, session.trials)
    budget_guard = session.budget_guard(queue, costs)
    left = queue.total - queue.done - len(queue.given_up)
    if not queue.waiting and not queue.elsewhere:
        state = f"{queue.done} of {count_text(queue.trials, queue.total)} finished, nothing left to do"
        options.console.print(f"{study.name}: {state}")
        return queue
    elsewhere = f", {queue.elsewhere} in other runners" if queue.elsewhere else ""
    state = f"{queue.done} finished{elsewhere}, {left} to do, {slots} at a time"
    options.console.print(f"{study.name}: {count_text(queue.trials, queue.total)}, {state}")
    notifier.start(queue)
    print_not_run(launcher.run(queue, budget_guard, lease, options), study, costs, options.console)
    queue.refresh()
    late = differences(session, ledger.rows(), keep_stale=False).again
    if late := [pair for pair in late if pair not in differ.kept]:
        text = "; ".join(reasons(late))
        options.console.print(f"{study.name}: changed while it ran: {text}; run the same command again")
    return queue


def print_not_run(trials: Sequence[PlannedTrial], study: Study, costs: Costs, console: Console) -> None:
    """Prints the trials that the budget did not allow, each with its forecast."""
    if trials:
        cap = f"the budget of {study.budget}"
        console.print(f"{counted(len(trials), 'trial')} not run, to stay within {cap}; raise it to continue:")
        for trial in trials:
            console.print(f"  {trial.name}: forecast {span(costs.seconds(trial))}")


def write_study(study: Study, trials: Sequence[PlannedTrial], folder: Path) -> None:
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
        for trial in trials
    ]
    _update(folder / "cells.json", json.dumps(rows, indent=1) + "\n")


def _update(path: Path, text: str) -> None:
    """Writes the file only if its content changes, so that a report is known to be up to date."""
    if not path.exists() or path.read_text() != text:
        write_atomically(path, text)


def _print_given_up(session: Session, queue: Queue, console: Console) -> None:
    if not queue.given_up:
        return
    console.print(f"{len(queue.given_up)} of {queue.total} trials failed:")
    trials = session.folder / "trials"
    for line in failure_lines((trial, why, trials / trial.folder / LOG) for trial, why in queue.given_up):
        console.print(line)
    by_trial = queue.ledger.histories()
    early = sum(len(by_trial[trial.id].failures) < queue.attempts for trial, _ in queue.given_up)
    if early:
        console.print(f"{early} of them would fail again for the same reason; the next sweep retries them")
    if early < len(queue.given_up):
        retry = command("retry", session.study.name)
        console.print(f"new attempts: {retry} [TRIAL ...], then the same sweep again")


def _report(folder: Path, commands: Commands, console: Console, *, anew: bool) -> bool:
    """Makes the report if there are results and they have changed since the last one, or parts of that could
    not be drawn; returns whether parts of it can't."""
    if not any(folder.glob("trials/*/metrics.json")):
        return False
    page, failed = folder / REPORT / "index.html", list[str]()
    errors = page.with_name(REPORT_ERRORS)
    paths = (folder / name for name in ("cells.json", STUDY, REGISTRATION))
    sources = [*(file for file in paths if file.exists()), *folder.glob("trials/*/metrics.json")]
    newest = max(source.stat().st_mtime for source in sources)
    if anew or not page.exists() or errors.exists() or newest > page.stat().st_mtime:
        console.print("drawing the report")
        page, failed, said = Call(commands.report, (folder,))()
        for line in said:
            console.print(line)
    for part in failed:
        console.print(f"could not draw {part}")
    console.print(
        f"report: {page.resolve().as_uri()}" + (f"; tracebacks of what failed: {errors}" if failed else "")
    )
    return bool(failed)
