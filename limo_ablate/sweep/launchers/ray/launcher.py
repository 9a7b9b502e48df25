"""`launch=ray`: runs a study's trials on the nodes of a Ray cluster; this process is their only runner.

Nothing on a node reads or writes the ledger, and the nodes need not see the study's folder: each trial is a
Ray task that sends its folder back. Docs: docs/ray.md.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Sequence
from pathlib import Path

from limo_ablate.core.reading import read_json
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.budget_guard import BudgetGuard
from limo_ablate.sweep.launchers.ray.machines import RAY, RayMachines
from limo_ablate.sweep.ledger.lease import Lease, Watch
from limo_ablate.sweep.ledger.queue import Queue
from limo_ablate.sweep.session import RunnerOptions, Session


class RayLauncher:
    here = False

    def __init__(self, session: Session) -> None:
        folder = session.folder.resolve()
        place = hashlib.sha256(f"{socket.gethostname()} {folder}".encode()).hexdigest()[:8]
        self._session = session
        self._machines = RayMachines(session.launch, folder, f"{folder.name}-{place}")

    def check(self) -> None:
        self._machines.check(self._session.hardware)

    def side_by_side(self) -> int:
        return max(self._machines.side_by_side(hardware) for hardware in self._session.hardware)

    def run(
        self, queue: Queue, budget_guard: BudgetGuard, lease: Lease, options: RunnerOptions
    ) -> Sequence[PlannedTrial]:
        return self._session.work(queue, budget_guard, lease, options, self._machines).not_run

    @staticmethod
    def lines(folder: Path) -> Sequence[str]:
        """A line for each node, while a sweep runs."""
        try:
            found = read_json(folder / RAY, dict)
        except FileNotFoundError:
            return []
        if Watch(folder).is_dead(found["runner"]):
            return []
        names = {row["folder"]: row["name"] for row in json.loads((folder / "cells.json").read_text())}
        lines = []
        for node in found["nodes"]:
            there = ", ".join(f"{count:g} {name}" for name, count in node["resources"].items() if count)
            running = ", ".join(names.get(one, one) for one in node["running"])
            why = node["excluded"] and f"gets no more trials: {node['excluded']}"
            state = "; ".join(filter(None, (running, why))) or "nothing runs"
            lines.append(f"  node {node['host']} ({node['node'][:8]}, {there}): {state}")
        return lines
