"""The interface between a runner and the machines that its attempts run on: this one, or those of a cluster.

    machines.choose(waiting)       what fits now
    machines.acquire(hardware)     a slot for it
    machines.start(...)            a `RunningCall`: the first process of an attempt

A `RunningCall` ends by itself, is asked to end (SIGTERM: it may write a checkpoint first) or is ended
(SIGKILL); with it ends all that it has started. When its `result` returns, what it has written to its folder
is in the study's folder; its log and its progress are there while it runs. An attempt whose machine is lost
has the exit code `PREEMPTED`: its trial waits again, and no attempt is counted. When the runner dies, its
calls die with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.sweep.slots import Slot
from limo_ablate.sweep.worker import Call, RunningCall


class Machines(Protocol):
    def check(self, hardware: Iterable[HardwareConfig]) -> None:
        """Raises UserError where a trial on one of `hardware` could never run."""
        ...

    def side_by_side(self, hardware: HardwareConfig) -> int:
        """How many trials on `hardware` run at the same time."""
        ...

    def opened(self, modules: Sequence[str], runner: str, threads: int) -> AbstractContextManager[None]:
        """Within it calls may be started, by processes that have imported `modules` ahead.

        `runner`: id of the runner's lease, by which what it leaves running is found; `threads`: the most that
        a trial's process has.
        """
        ...

    def choose(self, waiting: Sequence[tuple[str, HardwareConfig]]) -> int | None:
        """Index of the one of `waiting`, (key, hardware), to start next; None when none fits now."""
        ...

    def acquire(self, hardware: HardwareConfig) -> Slot:
        """A slot for a trial on `hardware`, which must fit."""
        ...

    def release(self, slot: Slot) -> None:
        """Frees the devices of a trial that has ended."""
        ...

    def start(self, call: Call, hardware: HardwareConfig, slot: Slot, folder: Path, mark: str) -> RunningCall:
        """Starts `call` in `slot`, with its log and its progress in `folder`.

        `mark`: value of `ATTEMPT_MARK` in the environment of all that it starts.
        """
        ...

    def end_leftovers(self, runner: str) -> None:
        """Ends what calls of this runner that have ended have left running."""
        ...
