"""`limo-ablate join STUDY [--trials N] [launch.slots=2 ...]` is one more runner of a study.

STUDY, which `sweep` has declared, is a name or a folder. The runner may be on another machine that shares
the study's folder, started in the same directory; it takes what waits, and leaves when nothing waits or
after N attempts. Overrides are those of `launch`, for this runner only.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from limo_ablate.core.errors import EXIT_INTERRUPTED, EXIT_TRIALS_FAILED, UserError
from limo_ablate.study.design import load_study
from limo_ablate.study.folder import study_folder
from limo_ablate.sweep.coordinate import COMMANDS, LOST, SEEN_AS, tell_not_run, told
from limo_ablate.sweep.interrupts import Interrupts
from limo_ablate.sweep.ledger.lease import Lease
from limo_ablate.sweep.plan.cost import Costs
from limo_ablate.sweep.runner import Commands, LeaseLost
from limo_ablate.sweep.session import RunnerOptions, Session


def main(argv: list[str]) -> int:
    """Runs what waits; returns the exit code. Raises UserError."""
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    name, trials, overrides = asked(argv)
    return join(study_folder(name), overrides, trials)


def join(folder: Path, overrides: list[str], trials: int | None, commands: Commands = COMMANDS) -> int:
    """One more runner for the study in `folder`; returns the exit code. Raises UserError."""
    check_directory(folder)
    session = Session.of(load_study(str(folder / "study.yaml"), overrides), folder)
    session = replace(session, launch=replace(session.launch, executor="local", slurm=None))
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


def asked(argv: list[str]) -> tuple[str, int | None, list[str]]:
    """(study, most attempts, overrides) of the command line. Raises UserError."""
    rest, trials = list(argv), None
    if "--trials" in rest:
        place = rest.index("--trials")
        value = rest[place + 1] if place + 1 < len(rest) else ""
        if not value.isdigit() or int(value) < 1:
            raise UserError(f"--trials {value}: a whole number, 1 or more")
        trials, rest = int(value), rest[:place] + rest[place + 2 :]
    names = [argument for argument in rest if "=" not in argument]
    if len(names) != 1 or names[0].startswith("-"):
        raise UserError(f"join {' '.join(argv)}: one study is needed: limo-ablate join STUDY [--trials N]")
    overrides = [argument for argument in rest if "=" in argument]
    if wrong := [given for given in overrides if not given.startswith("launch.")]:
        raise UserError(f"{wrong[0]}: only launch.* can differ from what `sweep` was told")
    return names[0], trials, overrides
