"""One more runner of a study; what `limo-ablate join` does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from limo_ablate.core.errors import EXIT_INTERRUPTED, EXIT_TRIALS_FAILED, UserError
from limo_ablate.study.design import load_study
from limo_ablate.sweep.coordinate import COMMANDS, LOST, SEEN_AS, tell_not_run, told
from limo_ablate.sweep.interrupts import Interrupts
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.plan.cost import Costs
from limo_ablate.sweep.runner import Commands, LeaseLost
from limo_ablate.sweep.session import RunnerOptions, Session


def join(folder: Path, overrides: list[str], trials: int | None, commands: Commands = COMMANDS) -> int:
    """One more runner for the study in `folder`; returns the exit code. Raises UserError."""
    check_directory(folder)
    session = Session.of(load_study(str(folder / "study.yaml"), overrides), folder)
    session = replace(session, launch=replace(session.launch, executor="local", slurm=None, options={}))
    console = Console(soft_wrap=True, highlight=False, markup=False)
    try:
        with Interrupts() as interrupts, Lease(folder) as lease:
            costs = Costs()
            options = RunnerOptions(
                commands=commands,
                console=console,
                interrupts=interrupts,
                waits_for_others=False,
                max_attempts=trials,
            )
            queue = session.queue(session.ledger(interrupts.pause), lease, costs)
            console.print(f"{session.study.name}: joined as {lease.id}; {len(queue.waiting)} trials wait")
            if not queue.waiting:
                return 0
            runner = session.work(queue, session.budget_guard(queue, costs), lease, options)
            tell_not_run(runner.not_run, console)
    except KeyboardInterrupt:
        console.print("interrupted: what was running here waits again")
        return EXIT_INTERRUPTED
    except LeaseLost:
        console.print(LOST)
        return EXIT_INTERRUPTED
    except OSError as error:
        raise told(error, folder) from error
    return EXIT_TRIALS_FAILED if runner.failed else 0


def check_directory(folder: Path) -> None:
    """Raises UserError where the study's relative paths would lead elsewhere."""
    seen = (folder / SEEN_AS).read_text().strip()
    if not (Path(seen).exists() and Path(seen).samefile(folder)):
        raise UserError(f"{folder}: join it from the directory where `sweep` runs: the one with {seen} in it")
