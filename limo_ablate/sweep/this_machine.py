"""This machine, as a runner uses it: processes of a fork server, on its GPUs or cores."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.marked_processes import ATTEMPT_MARK, end_marked
from limo_ablate.core.progress import PROGRESS, PROGRESS_VARIABLE
from limo_ablate.sweep.slots import Devices, Slot
from limo_ablate.sweep.worker import LOG, Call, Worker, fork_server


@dataclass
class ThisMachine(Devices):
    """A `limo_ablate.sweep.machines.Machines`."""

    def opened(self, modules: Sequence[str], runner: str, threads: int) -> AbstractContextManager[None]:
        return fork_server(modules, runner, threads)

    def start(self, call: Call, hardware: HardwareConfig, slot: Slot, folder: Path, mark: str) -> Worker:
        own = {PROGRESS_VARIABLE: str((folder / PROGRESS).absolute()), ATTEMPT_MARK: mark}
        return Worker(call, {**slot.environment(hardware), **own}, folder / LOG)

    def end_leftovers(self, runner: str) -> None:
        end_marked(runner, grace=0)
