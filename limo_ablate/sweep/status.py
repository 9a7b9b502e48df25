"""`limo-ablate status [STUDY] [key=value ...]`: what is done, running, waiting, failed, from the ledger."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from limo_ablate.compose import compose
from limo_ablate.errors import UserError
from limo_ablate.sweep.cells import Cell, cells
from limo_ablate.sweep.design import load_study
from limo_ablate.sweep.ledger import LEDGER, History, Ledger
from limo_ablate.sweep.live import rerun_command
from limo_ablate.sweep.processes import holder
from limo_ablate.typed import nearest

STATES = ("finished", "running", "waiting", "failed")


@dataclass(frozen=True, slots=True)
class State:
    """A cell as the ledger has it."""

    cell: Cell
    state: str
    """One of STATES."""
    reason: str | None
    """Of its last failure."""


def status(argv: list[str]) -> int:
    """Prints a line for each study, or one study with its cells that run or failed. Raises UserError."""
    name = argv[0] if argv and "=" not in argv[0] else None
    root = Path(compose(argv[1:] if name else argv).paths.studies)
    folders = sorted(path.parent for path in root.glob("*/study.yaml"))
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if name is None:
        for folder in folders:
            console.print(summary(folder, states(folder)))
        return 0
    if root / name not in folders:
        known = [folder.name for folder in folders]
        raise UserError(f"{name}: no such study in {root}{nearest(name, known)} Known: {', '.join(known)}")
    found = states(root / name)
    console.print(summary(root / name, found))
    for state in found:
        if state.state in ("running", "failed"):
            console.print(f"  {state.state}: {state.cell.name}  {state.reason or ''}".rstrip())
        if state.state == "failed":
            log = root / name / "trials" / state.cell.folder / "trial.log"
            console.print(f"    log:   {log}\n    rerun: {rerun_command(state.cell)}")
    return 0


def states(folder: Path) -> list[State]:
    """The cells of the study in `folder`, as it was last run."""
    study = load_study(str(folder / "study.yaml"))
    histories = Ledger(study.ledger or folder / LEDGER, study.name).histories()
    live = holder(folder) is not None
    return [_state(cell, histories.get(cell.key, History(cell.name)), live) for cell in cells(study)]


def _state(cell: Cell, history: History, live: bool) -> State:
    if history.done:
        return State(cell, "finished", None)
    reason = history.failures[-1] if history.failures else None
    if history.running is not None and live:
        return State(cell, "running", reason)
    waiting = history.waiting is not None or history.running is not None or reason is None
    return State(cell, "waiting" if waiting else "failed", reason)


def summary(folder: Path, found: list[State]) -> str:
    counts = Counter(state.state for state in found)
    parts = [f"{counts[state]} {state}" for state in STATES if counts[state]]
    runner = holder(folder)
    running = f"; a sweep is running ({runner})" if runner else ""
    return f"{folder.name}: {len(found)} cells: {', '.join(parts)}{running}"
