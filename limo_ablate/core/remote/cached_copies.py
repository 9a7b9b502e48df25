"""Local copies of artifacts at a URL, in a folder of bounded size: those used longest ago are removed.

A process holds a shared lock on `KEY.used` for each artifact that it has asked for, until it ends; what is
in use is never removed.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

COPY = re.compile(r"[0-9a-f]{16}")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Stored:
    path: Path
    bytes: int
    used: float
    """When a process last asked for it."""


class CachedCopies:
    def __init__(self, root: Path, most: int) -> None:
        """`root`: has a folder for each stage; `most`: bytes of all together."""
        self._root, self._most = root, most
        self._held: dict[Path, IO[bytes]] = {}
        self._warned = False

    def use(self, folder: Path) -> None:
        """Keeps the copy in `folder`, which may be still to come, until this process ends."""
        if folder not in self._held:
            folder.parent.mkdir(parents=True, exist_ok=True)
            file = _used(folder).open("ab")
            fcntl.flock(file, fcntl.LOCK_SH)
            self._held[folder] = file
        os.utime(_used(folder))

    def trim(self) -> None:
        """Removes copies that nobody uses, those used longest ago first, until the rest has its size."""
        stored = list(self._stored())
        over = sum(one.bytes for one in stored) - self._most
        for one in sorted(stored, key=lambda one: one.used):
            if over <= 0:
                return
            if COPY.fullmatch(one.path.name) and self._remove(one.path):
                over -= one.bytes
        if over > 0 and not self._warned:
            self._warned = True
            log.warning(
                "%s: %.1f GB over paths.cache_gb=%g, all in use or unfinished",
                self._root, over / 1e9, self._most / 1e9,
            )  # fmt: skip

    def _stored(self) -> Iterator[_Stored]:
        for stage in self._root.iterdir() if self._root.is_dir() else ():
            for path in stage.iterdir() if stage.is_dir() else ():
                with suppress(FileNotFoundError):  # another process may be trimming
                    used = _used(path)
                    when = (used if used.exists() else path).stat().st_mtime
                    yield _Stored(path, _size(path), when)

    def _remove(self, folder: Path) -> bool:
        """Removes a copy, unless a process uses it."""
        with _used(folder).open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            gone = folder.with_name(f"{folder.name}.gone")
            with suppress(FileNotFoundError):
                folder.rename(gone)  # nobody finds half of it
            shutil.rmtree(gone, ignore_errors=True)
        return True


def _used(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.used")


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.lstat().st_size for file in files)
