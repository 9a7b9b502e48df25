"""A study of small jobs in a temporary folder, run by real sweeps in processes of their own."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.storages.journal import JournalFileBackend, JournalStorage

from limo_ablate.core.marked_processes import find_marked
from limo_ablate.core.progress import read_progress
from limo_ablate.sweep.ledger.lease import RUNNERS
from tests.forked import SWEEPS, Process, start
from tests.waiting import until

HERE = Path(__file__).parent


@dataclass
class Sweeping:
    root: Path
    largest_file: int | None = None
    """Bytes: what is started then can write no larger ones, as on a full disk."""
    import_seconds: float = 0.0
    """What the fork server's imports take beyond their time."""
    nohup: bool = False
    """Whether what is started ignores SIGHUP."""
    runners: list[Process] = field(default_factory=list)
    """All that were started."""

    @property
    def folder(self) -> Path:
        return self.root / "studies" / "small"

    @property
    def notes(self) -> Path:
        """Folder in which the jobs note what they do."""
        return self.folder

    def declare(self, *overrides: str, seeds: tuple[int, ...] = (0,), **axes: tuple[object, ...]) -> None:
        """`axes`: of `select`, but for `model` and `hardware`."""
        shared = [
            "track=none",
            f"paths.studies={self.root / 'studies'}",
            "launch.slots=2",
            "launch.backoff_seconds=0",
            *overrides,
        ]
        levels = {
            axis if axis in ("model", "hardware") else f"select.{axis}": list(v) for axis, v in axes.items()
        }
        study = {
            "name": "small",
            "overrides": shared,
            "seeds": list(seeds),
            "blocks": [{"name": "b", "axes": levels}],
        }
        (self.root / "small.yaml").write_text(yaml.safe_dump(study))

    def start(self, *extra: str) -> Process:
        """A sweep."""
        return self._drive(str(self.root / "small.yaml"), *extra)

    def join(self, *extra: str) -> Process:
        return self._drive("join", str(self.folder), *extra)

    def run(self, *extra: str) -> tuple[int, str]:
        """(exit code, what it said) of a sweep."""
        return ended(self.start(*extra))

    def events(self, kind: str) -> list[list[str]]:
        """What the jobs noted: start NAME TIME PID, end NAME TIME, report."""
        path = self.notes / "events"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split() for line in lines if line.split()[0] == kind]

    def starts(self) -> Counter[str]:
        return Counter(name for _, name, *_ in self.events("start"))

    def ends(self) -> Counter[str]:
        return Counter(name for _, name, *_ in self.events("end"))

    def rows(self) -> list[optuna.trial.FrozenTrial]:
        storage = JournalStorage(JournalFileBackend(str(self.folder / "ledger.log")))
        if not storage.get_all_studies():
            return []  # the runner has made the file, and writes the study into it now
        return optuna.load_study(study_name="small", storage=storage).trials

    def finished(self) -> Counter[str]:
        """Trial -> its finished rows."""
        return Counter(row.user_attrs["cell"] for row in self.rows() if row.state.name == "COMPLETE")

    def until(self, condition: Callable[[], bool]) -> None:
        """Waits for the condition; fails at once where the runner that was started last has ended."""

        def met() -> bool:
            ended = self.runners[-1].returncode is not None
            true = condition()
            assert true or not ended, "the runner has ended: " + self.runners[-1].output()
            return true

        until(met, every=0.01)

    def cells(self) -> list[dict[str, Any]]:
        """The rows of cells.json."""
        path = self.folder / "cells.json"
        return list(json.loads(path.read_text())) if path.exists() else []

    def trial(self, name: str) -> Path:
        """Folder of a trial."""
        return self.folder / "trials" / next(row["folder"] for row in self.cells() if row["name"] == name)

    def steps(self) -> dict[str, int | None]:
        """Cell -> the step that its trial last reported, of the trials that have reported any."""
        found = {row["name"]: read_progress(self.folder / "trials" / row["folder"]) for row in self.cells()}
        return {cell: progress.done for cell, progress in found.items() if progress}

    def go(self) -> None:
        """Lets the trials of tier `L4` end, which wait for it."""
        (self.notes / "go").touch()

    def orphans(self) -> list[int]:
        """Processes of runners that have left their files."""
        runners = [path.stem for path in (self.folder / RUNNERS).glob("*.json")]
        return [pid for runner in runners for pid in find_marked(runner)]

    def _drive(self, *arguments: str) -> Process:
        folder = self.root / f"runner{len(self.runners)}"
        paths = [str(HERE), str(HERE.parents[1])]  # the jobs, and the code under test
        paths += filter(None, [os.environ.get("PYTHONPATH")])
        own = {"PYTHONPATH": os.pathsep.join(paths), "IMPORT_SECONDS": str(self.import_seconds)}
        self.runners.append(
            start(
                folder, str(HERE / "drive.py"), *arguments, imports=SWEEPS, environment=os.environ | own,
                largest_file=self.largest_file, nohup=self.nohup,
            )
        )  # fmt: skip
        return self.runners[-1]


def ended(process: Process) -> tuple[int, str]:
    """(exit code, what it said)"""
    said, _ = process.communicate()
    assert process.returncode is not None
    return process.returncode, said
