"""What is left to do: the ledger brought in line with the disk, after a clean end or a kill -9 alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution

from limo_ablate.artifacts import content_key
from limo_ablate.config import TrialConfig
from limo_ablate.sweep.cells import Cell
from limo_ablate.sweep.ledger import INTERRUPTED, History, Ledger


@dataclass(frozen=True, slots=True)
class Todo:
    """A cell that waits in the ledger."""

    order: int
    """Its place in the study."""
    cell: Cell
    trial: int
    """Its id in the ledger."""
    attempt: int


@dataclass(slots=True)
class Base:
    """A base model that has to be made before its cells can run."""

    name: str
    config: TrialConfig
    cells: list[Todo]
    attempt: int = 1


@dataclass(slots=True)
class Plan:
    todo: list[Todo] = field(default_factory=list)
    done: int = 0
    given_up: list[tuple[Cell, str]] = field(default_factory=list)
    """Cells that failed too often, with the last reason."""
    space: Mapping[str, BaseDistribution] = field(default_factory=dict)


def reconcile(ledger: Ledger, cells: Sequence[Cell], trials: Path, attempts: int) -> Plan:
    """Adopts results that a dead runner left on disk, fails what it left running, queues what is missing.

    `trials` is the folder of the trials' folders. The caller holds the study and has ended its orphans.
    """
    histories = ledger.histories()
    by_key = {cell.key: cell for cell in cells}
    for key, history in histories.items():
        _settle(ledger, history, by_key.get(key), trials)
    plan = Plan()
    for order, cell in enumerate(cells):
        history = histories.get(cell.key, History(cell.name))
        if history.done:
            plan.done += 1
        elif len(history.failures) >= attempts:
            plan.given_up.append((cell, history.failures[-1]))
        else:
            plan.space = plan.space or ledger.space(cells)
            attempt, trial = len(history.failures) + 1, history.waiting
            if trial is None:
                trial = ledger.add(cell, attempt, plan.space)
            plan.todo.append(Todo(order, cell, trial, attempt))
    return plan


def _settle(ledger: Ledger, history: History, cell: Cell | None, trials: Path) -> None:
    """Ends the row of a cell that was running, or that the study no longer has."""
    if history.running is not None:
        metrics = read_metrics(trials / cell.folder, cell.key) if cell else None
        if cell and metrics:
            ledger.finish(history.running, metrics, trials / cell.folder)
            history.done = True
        else:
            ledger.fail(history.running, "its runner died", **{INTERRUPTED: True})
    if cell is None and history.waiting is not None:
        ledger.fail(history.waiting, "no longer in the study", **{INTERRUPTED: True})


def read_metrics(folder: Path, key: str) -> dict[str, Any] | None:
    """The result in a trial's folder; None when there is none, or it is another trial's."""
    try:
        metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    except FileNotFoundError:
        return None
    return metrics if metrics["trial"] == key else None


def by_base(todos: Sequence[Todo]) -> tuple[list[Base], list[Todo]]:
    """(base models to make, each with its cells; cells that can run at once)."""
    bases: dict[str, Base] = {}
    eligible = []
    for todo in todos:
        config = todo.cell.config
        if config.model.source == "hub":
            eligible.append(todo)
            continue
        # the tokenizer made for `scratch` depends on the pool's text
        data = config.data if config.model.source == "scratch" else None
        key = content_key("prepare", 1, {"model": config.model, "data": data})
        base = bases.setdefault(key, Base(f"{config.model.name}-{key[:6]}", config, []))
        base.cells.append(todo)
    return list(bases.values()), eligible
