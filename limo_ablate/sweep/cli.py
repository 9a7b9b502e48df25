"""`limo-ablate sweep STUDY [key=value ...]` runs a study of sweeps/, resumably.

An override of an axis replaces its levels (`select.size=16,64`), `seeds=[0,1]` the seeds; any other one
holds for every cell (`track=none launch.slots=2`). Run again, it does what is missing and nothing twice.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import yaml
from rich.console import Console

from limo_ablate.errors import EXIT_INTERRUPTED, EXIT_TRIALS_FAILED
from limo_ablate.sweep.cells import Cell, cells
from limo_ablate.sweep.design import SWEEPS, Study, load_study
from limo_ablate.sweep.ledger import LEDGER, Ledger, mend
from limo_ablate.sweep.live import Progress, rerun_command
from limo_ablate.sweep.plan import reconcile
from limo_ablate.sweep.processes import Interrupts, coordinator, end
from limo_ablate.sweep.runner import Jobs, Runner
from limo_ablate.sweep.slots import local_slots
from limo_ablate.sweep.status import status
from limo_ablate.sweep.worker import Job, fork_server

__all__ = ["run", "status", "sweep"]

JOBS = Jobs()


def sweep(argv: list[str]) -> int:
    """Runs a study to its end; returns the exit code. Raises UserError before anything has started."""
    if not argv or argv[0] in ("-h", "--help"):
        known = ", ".join(sorted(file.stem for file in SWEEPS.glob("*.yaml")))
        print(f"{__doc__}\nStudies: {known}")
        return 0
    return run(load_study(argv[0], argv[1:]))


def run(study: Study, folder: Path | None = None, jobs: Jobs = JOBS) -> int:
    """Runs `study` in `folder` (by default its own under `paths.studies`); returns the exit code."""
    found = cells(study)
    folder = folder or Path(found[0].config.paths.studies) / study.name
    console = Console(soft_wrap=True, highlight=False, markup=False)
    try:
        with coordinator(folder), Interrupts() as interrupts:
            _write_study(study, found, folder)
            given_up = _run_missing(study, found, folder, jobs, console, interrupts)
            _tell_given_up(given_up, found, console)
            with interrupts.window():
                _report(folder, jobs, console)
    except KeyboardInterrupt:
        console.print("interrupted: what was running waits again; the same command goes on")
        return EXIT_INTERRUPTED
    return EXIT_TRIALS_FAILED if given_up else 0


def _run_missing(
    study: Study, found: list[Cell], folder: Path, jobs: Jobs, console: Console, interrupts: Interrupts
) -> list[tuple[Cell, str]]:
    """Runs what the ledger does not have; returns the cells that were given up, with the reason."""
    ledger = Ledger(study.ledger or mend(folder / LEDGER), study.name)
    end(ledger.mark)
    launch = found[0].config.launch
    plan = reconcile(ledger, found, folder / "trials", launch.attempts)
    if not plan.todo:
        console.print(f"{study.name}: {plan.done} of {len(found)} cells are finished, nothing left to do")
        return plan.given_up
    slots = local_slots([cell.config.hardware for cell in found], launch)
    state = f"{plan.done} finished, {len(plan.todo)} to do, {len(slots)} at a time"
    console.print(f"{study.name}: {len(found)} cells, {state}")
    threads = max(cell.config.hardware.threads for cell in found)
    with (
        fork_server(jobs.preload, ledger.mark, threads),
        Progress(console, total=len(found), done=plan.done, slots=len(slots)) as progress,
    ):
        runner = Runner(
            study.name, folder, ledger, plan, slots, progress, interrupts, attempts=launch.attempts, jobs=jobs
        )
        runner.run()
    return plan.given_up + runner.given_up


def _write_study(study: Study, found: list[Cell], folder: Path) -> None:
    """study.yaml and cells.json, for the report."""
    declared = json.loads(json.dumps(asdict(study)))
    _update(folder / "study.yaml", yaml.safe_dump(declared, sort_keys=False, allow_unicode=True))
    rows = [
        {
            "name": cell.name,
            "key": cell.key,
            "folder": cell.folder,
            "seed": cell.seed,
            "blocks": cell.blocks,
            "overrides": cell.labels(study.name).cell,
        }
        for cell in found
    ]
    _update(folder / "cells.json", json.dumps(rows, indent=1) + "\n")


def _update(path: Path, text: str) -> None:
    """Leaves a file that says so already alone, so that a report is known to be up to date."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _tell_given_up(given_up: list[tuple[Cell, str]], found: list[Cell], console: Console) -> None:
    if not given_up:
        return
    console.print(f"{len(given_up)} of {len(found)} cells failed:")
    for cell, reason in given_up:
        console.print(f"  {cell.name}: {reason}\n    rerun: {rerun_command(cell)}")
    attempts = found[0].config.launch.attempts
    console.print(
        f"After {attempts} failed attempts a cell is left alone; launch.attempts={attempts + 1} tries again"
    )


def _report(folder: Path, jobs: Jobs, console: Console) -> None:
    """Draws the report if there is anything to draw and what it shows has changed since."""
    if not any(folder.glob("trials/*/metrics.json")):
        return
    page = folder / "report" / "index.html"
    sources = [folder / "cells.json", folder / "study.yaml", *folder.glob("trials/*/*.json")]
    if not page.exists() or any(source.stat().st_mtime > page.stat().st_mtime for source in sources):
        page = Job(jobs.report, (folder,))()
    console.print(f"report: {page}")
