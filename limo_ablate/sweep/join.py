"""`limo-ablate join`: one more runner of a study."""

from __future__ import annotations

from pathlib import Path

from limo_ablate.core.errors import EXIT_INTERRUPTED, EXIT_TRIALS_FAILED, UserError
from limo_ablate.core.terminal import Terminal
from limo_ablate.core.text import counted
from limo_ablate.study.design import load_study
from limo_ablate.study.folder import SEEN_AS, seen_as
from limo_ablate.sweep.coordinate import COMMANDS, LEASE_LOST, explain_full_disk, print_not_run, refuse_unfit
from limo_ablate.sweep.interrupts import Interrupts
from limo_ablate.sweep.launchers.local import LocalLauncher
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.ledger.same_failures import SameFailures
from limo_ablate.sweep.plan.cost import Costs
from limo_ablate.sweep.runner import Commands, LeaseLost
from limo_ablate.sweep.session import RunnerOptions, Session
from limo_ablate.sweep.trust import check_trust


def join(
    folder: Path,
    overrides: list[str],
    max_attempts: int | None,
    commands: Commands = COMMANDS,
    *,
    trust: bool = False,
    quiet: bool = False,
) -> int:
    """Runs trials of the study in `folder` until nothing waits; returns the exit code. Raises UserError.

    `quiet`: prints nothing of trials that finish.
    """
    check_directory(folder)
    session = Session.of(load_study(str(folder / "study.yaml"), overrides), folder)
    check_trust(session.study.name, session.trials, session.searches, overrides, trust=trust)
    console = Terminal(soft_wrap=True)
    try:
        with Interrupts() as interrupts, Lease(folder) as lease:
            costs = Costs()
            options = RunnerOptions(
                commands=commands,
                console=console,
                interrupts=interrupts,
                waits_for_others=False,
                max_attempts=max_attempts,
                quiet=quiet,
            )
            launcher = LocalLauncher(session)
            limit = session.launch.max_same_failures
            same_failures = SameFailures(folder, limit, on_stop=console.print)
            ledger = session.ledger(interrupts.pause)
            queue = session.queue(ledger, lease, costs, same_failures, slots=launcher.side_by_side())
            if same_failures.stop:
                return EXIT_TRIALS_FAILED
            console.print(
                f"{session.study.name}: joined as {lease.id}; {counted(len(queue.waiting), 'trial')} to run"
            )
            if not queue.waiting:
                return 0
            if commands.checked:
                refuse_unfit([queued.trial for queued in queue.waiting], console)
            runner = launcher.work(queue, session.budget_guard(queue, costs), lease, options)
            print_not_run(runner.not_run, session.study, costs, console)
    except KeyboardInterrupt:
        console.print("interrupted: the trials that were running here wait again")
        return EXIT_INTERRUPTED
    except LeaseLost:
        console.print(LEASE_LOST)
        return EXIT_INTERRUPTED
    except OSError as error:
        raise explain_full_disk(error, folder) from error
    return EXIT_TRIALS_FAILED if runner.failed or same_failures.stop else 0


def check_directory(folder: Path) -> None:
    """Raises UserError where the study's relative paths would lead to other files."""
    if not (folder / SEEN_AS).is_file():
        raise UserError(f"{folder}: `sweep` has not run here: there is no {SEEN_AS}")
    seen = seen_as(folder)
    if not (seen.exists() and seen.samefile(folder)):
        raise UserError(f"{folder}: run `join` where `sweep` runs: in the directory with {seen} in it")
