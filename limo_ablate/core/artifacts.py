"""The content-addressed store: an artifact's path is its stage and a hash of all it depends on.

`Store.build` returns the artifact if it exists and makes it otherwise. It appears whole or not at all:
it is made in `KEY.partial` beside its final place and renamed. A lock on the key keeps two workers from
doing the same work; the second waits and finds it done. After kill -9 the lock is free (the kernel drops
it) and a stage that can resume finds what it left in `KEY.partial`.

Whoever takes an artifact into use looks whether it is still what was made: sizes and times of its files are
compared, and its bytes read again where those differ. A damaged one is told of and made again. What changes
bytes without changing a file's time, as a failing disk does, is not noticed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from limo_ablate.core.errors import UserError
from limo_ablate.core.progress import alive

log = logging.getLogger(__name__)

NOT_IN_KEY = {"keyed": False}
"""Metadata of a dataclass field that states a fact and decides no result: no key holds it (`plain`)."""
MANIFEST = "artifact.json"
DIGEST = "digest"
"""Stage of what a file or folder elsewhere hashes to."""
PATIENCE = 10.0
"""Seconds between two signs of life of who waits for a lock."""
TIMED = ("curve.parquet", "train.json", "pretrain.json")
"""Records that hold seconds: in no digest, so that a model trained again to the same bytes is the same."""


@dataclass(frozen=True, slots=True)
class Artifact:
    stage: str
    key: str
    path: Path
    """The artifact's folder."""
    digest: str
    """SHA-256 over names and bytes of its files, records with timings left out."""
    seconds: float
    """What making it took; 0 cost when found."""

    def identity(self) -> dict[str, str]:
        """What a later stage puts among its inputs: bytes, not where they came from."""
        return {"stage": self.stage, "digest": self.digest}


def plain(value: Any) -> Any:
    """Configs, artifacts and paths as JSON data; fields that say they are in no key are left out."""
    if isinstance(value, Artifact):
        return value.identity()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in fields(value) if f.metadata.get("keyed", True)}
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} can't be hashed")


def content_key(stage: str, version: int, inputs: Mapping[str, Any]) -> str:
    text = json.dumps([stage, version, inputs], sort_keys=True, default=plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest_folder(folder: Path, only: Collection[str] | None = None) -> str:
    """SHA-256 over names and bytes; `only` these files, where given."""
    total = hashlib.sha256()
    for file in (p for p in _files(folder, only) if p.name not in TIMED):
        total.update(file.relative_to(folder).as_posix().encode() + b"\0")
        with file.open("rb") as handle:
            total.update(hashlib.file_digest(handle, "sha256").digest())
    return total.hexdigest()


def digest_file(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class NotMade(Exception):
    """Inside `looking`: an artifact that is not in the store."""

    def __init__(self, stage: str, version: int, inputs: Mapping[str, Any]) -> None:
        super().__init__(f"{stage} is not in the store")
        self.stage, self.version = stage, version
        self.inputs: dict[str, Any] = json.loads(json.dumps(inputs, default=plain))


_looking: ContextVar[bool] = ContextVar("looking", default=False)


@contextmanager
def looking() -> Iterator[None]:
    """Inside, no artifact is made: whoever asks for one that is not there gets `NotMade`."""
    token = _looking.set(True)
    try:
        yield
    finally:
        _looking.reset(token)


@contextmanager
def held(path: str) -> Iterator[None]:
    """The lock at `path`. Who waits for it says that it lives: whoever holds it has a watchdog of its own."""
    lock = FileLock(path)
    while True:
        try:
            lock.acquire(timeout=PATIENCE)
            break
        except Timeout:
            alive()
    try:
        yield
    finally:
        lock.release()


class Store:
    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def find(self, stage: str, version: int, inputs: Mapping[str, Any]) -> Artifact | None:
        found = self._read(stage, content_key(stage, version, inputs))
        if found is None and _looking.get() and stage != DIGEST:
            raise NotMade(stage, version, inputs)
        return found

    def build(
        self,
        stage: str,
        version: int,
        inputs: Mapping[str, Any],
        make: Callable[[Path], None],
        *,
        resume: bool = False,
    ) -> Artifact:
        """The artifact of `stage` for `inputs`; `make(folder)` fills the folder if it is not there yet.

        With `resume`, `make` finds the folder as an interrupted attempt left it; otherwise it is empty.
        """
        key = content_key(stage, version, inputs)
        if found := self.find(stage, version, inputs):
            return found
        final = self.root / stage / key
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"paths.artifacts={self.root}: can't be written: {error.strerror}") from error
        with held(f"{final}.lock"):
            if found := self._read(stage, key):
                return found
            partial = final.with_name(f"{key}.partial")
            if partial.exists() and not resume:
                shutil.rmtree(partial)
            partial.mkdir(exist_ok=True)
            started = time.perf_counter()
            make(partial)
            manifest = {
                "stage": stage,
                "version": version,
                "digest": digest_folder(partial),
                "seconds": round(time.perf_counter() - started, 3),
                "files": _states(partial),
                "inputs": inputs,
            }
            _write_manifest(partial, manifest)
            if final.exists():  # it is damaged
                shutil.rmtree(final)
            partial.rename(final)
        artifact = self._read(stage, key)
        assert artifact is not None
        return artifact

    def path_digest(self, path: Path) -> str:
        """SHA-256 of a file, or over a folder's files; read again when a size or time of change differs."""
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        state = [(str(p.relative_to(path)), p.stat().st_size, p.stat().st_mtime_ns) for p in files]

        def make(target: Path) -> None:
            (target / "digest").write_text(digest_folder(path) if path.is_dir() else digest_file(path))

        found = self.build(DIGEST, 1, {"path": path.absolute(), "files": state}, make)
        return (found.path / "digest").read_text()

    def _read(self, stage: str, key: str) -> Artifact | None:
        """The artifact; None when it is not there, or not what was made."""
        path = self.root / stage / key
        try:
            manifest = json.loads((path / MANIFEST).read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError:
            manifest = {}
        if not _intact(path, manifest):
            log.warning("%s is damaged: its bytes are not those that were made; making it again", path)
            return None
        return Artifact(stage, key, path, manifest["digest"], manifest["seconds"])


def _intact(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether the files of the manifest are as they were; where only times differ, it learns the new ones.

    Others that somebody has put beside them change nothing.
    """
    known = manifest.get("files", {})
    found = _states(folder, known)
    if "digest" in manifest and found == known:
        return True
    timed = [name for name in known if Path(name).name in TIMED]
    if any(name not in found or found[name][0] != known[name][0] for name in timed):
        return False
    if digest_folder(folder, known) != manifest.get("digest"):
        return False
    with suppress(OSError):  # a store that may only be read
        _write_manifest(folder, {**manifest, "files": found})
    return True


def _states(folder: Path, only: Collection[str] | None = None) -> dict[str, list[int]]:
    """File -> its size and time of change in nanoseconds."""
    stats = {p.relative_to(folder).as_posix(): p.stat() for p in _files(folder, only)}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _files(folder: Path, only: Collection[str] | None = None) -> list[Path]:
    """All but the manifest, or those of `only` that are there."""
    if only is not None:
        return sorted(path for path in map(folder.joinpath, only) if path.is_file())
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(MANIFEST))


def _write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    partial = folder / f"{MANIFEST}.{os.getpid()}"
    partial.write_text(json.dumps(manifest, indent=1, sort_keys=True, default=plain) + "\n")
    partial.replace(folder / MANIFEST)
