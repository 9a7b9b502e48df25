"""The steps of a training so far, kept in the trial's folder until its run is complete.

W&B writes its own file of an offline run in blocks of 32 KiB: kill -9 loses the last block, often
everything. So a trial that resumes from a checkpoint records the earlier steps again.
"""

from __future__ import annotations

import fcntl
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypedDict

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.files import write_atomically
from limo_ablate.core.reading import parse_json, read_text
from limo_ablate.trial.identity import TrialLabels

FILE = "steps.jsonl"
UNSENT = "unsent"
"""File beside it: an online run is incomplete on the server; `limo-ablate wandb-sync` uploads the rest."""


class Step(TypedDict):
    """What is read of a row by name."""

    step: int


class Steps:
    """Rows in the order of their steps, each once, including those of earlier processes."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        folder.mkdir(parents=True, exist_ok=True)
        self.earlier = _read(self._path)
        self._last = self.earlier[-1]["step"] if self.earlier else -1
        write_atomically(self._path, "".join(f"{json.dumps(row)}\n" for row in self.earlier))
        self._file = self._path.open("a", buffering=1)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def add(self, row: dict[str, Any]) -> bool:
        """Keeps a row; returns False if an earlier process has recorded it."""
        if row["step"] <= self._last:
            return False
        self._last = row["step"]
        self._file.write(f"{json.dumps(row)}\n")
        return True

    def close(self, complete: bool) -> None:
        """Closes the file, and deletes it if the run is complete."""
        self._file.close()
        if complete:
            self._path.unlink(missing_ok=True)


def write_unsent(folder: Path, labels: TrialLabels, artifacts: dict[str, Artifact]) -> None:
    """Writes what `resync` needs in addition to the files of the trial in `folder`."""
    stored = {
        name: asdict(replace(one, copy=None)) | {"folder": str(one.path)} for name, one in artifacts.items()
    }
    text = json.dumps({"labels": asdict(labels), "artifacts": stored})
    write_atomically(folder / "wandb" / UNSENT, text)


def running(folder: Path) -> bool:
    """Whether a live process records steps here; the kernel frees its lock even after kill -9."""
    if not (folder / FILE).exists():
        return False
    with (folder / FILE).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _read(path: Path) -> list[dict[str, Any]]:
    """All complete lines; a kill may have cut the last one short."""
    lines = read_text(path).splitlines(keepends=True) if path.exists() else []
    return [parse_json(line, path, Step) for line in lines if line.endswith("\n")]
