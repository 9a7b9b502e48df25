"""The steps a trial has told so far, kept in its folder until its run is whole.

W&B's own file of an offline run is written in blocks of 32 KiB: kill -9 loses what is not in one, often all
of it. The trial that goes on from a checkpoint tells its run what was told before.
"""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

FILE = "steps.jsonl"
UNSENT = "unsent"
"""File beside it: the server has not all of an online run; `limo-ablate wandb-sync` sends it."""


class Steps:
    """Rows in the order of their steps, each once; those of an earlier process are there from the start."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        folder.mkdir(parents=True, exist_ok=True)
        self.earlier = _read(self._path)
        self._last = self.earlier[-1]["step"] if self.earlier else -1
        self._path.write_text("".join(f"{json.dumps(row)}\n" for row in self.earlier))
        self._file = self._path.open("a", buffering=1)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def add(self, row: dict[str, Any]) -> bool:
        """Keeps a row; False for one that an earlier process told already."""
        if row["step"] <= self._last:
            return False
        self._last = row["step"]
        self._file.write(f"{json.dumps(row)}\n")
        return True

    def close(self, whole: bool) -> None:
        """Forgets the rows when the run is whole."""
        self._file.close()
        if whole:
            self._path.unlink(missing_ok=True)


def running(folder: Path) -> bool:
    """Whether a live process is telling steps here: the kernel frees its lock, kill -9 included."""
    if not (folder / FILE).exists():
        return False
    with (folder / FILE).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _read(path: Path) -> list[dict[str, Any]]:
    """Whole lines; a kill may have torn the last one."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]
