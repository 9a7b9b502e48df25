"""The content-addressed store: an artifact's path is its stage and a hash of everything it depends on.

`Store.build` returns the artifact if it exists and builds it otherwise. Artifacts appear atomically: they are
built in `KEY.partial` and renamed. A lock on the key keeps two processes from doing the same work; the second
one waits and finds it done. The kernel drops the lock after kill -9, and a stage that can resume finds its
earlier work in `KEY.partial`.

On load, an artifact's files are checked against its manifest: their sizes and modification times are
compared, and files are hashed again if those differ. A damaged artifact is logged and built again. Corruption
that leaves the modification time unchanged, as by a failing disk, is not detected.

A store at a URL is a `RemoteStore` (`limo_ablate.core.remote.store`), whose folder holds local copies.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import Field, dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from limo_ablate.core.code import code_digest, package_versions
from limo_ablate.core.errors import UserError
from limo_ablate.core.manifest import (
    digest_files,
    digest_folder,
    file_stats,
    intact,
    read_manifest,
    write_manifest,
)
from limo_ablate.core.permissions import denied
from limo_ablate.core.progress import keep_alive
from limo_ablate.core.reading import read_text

log = logging.getLogger(__name__)

NOT_IN_KEY = {"in_key": False}
"""Metadata of a dataclass field that does not affect results: `json_default` leaves it out of every key."""
DEFAULT_NOT_IN_KEY = {"in_key": "unless default"}
"""Metadata of a dataclass field that came later: at its default it is in no key, so earlier keys stay."""
STAGE_VERSIONS: Mapping[str, int] = {
    "pool": 9, "benchmark": 9, "features": 1, "grades": 2, "flags": 2, "duplicates": 3, "clusters": 3,
    "tried": 1, "problems": 1, "rates": 1, "selection": 3, "base": 1, "tokens": 4, "weights": 1,
    "completions": 4, "drawn": 1, "chunk": 1, "verdicts": 3, "questions": 2, "judged": 2, "openings": 1,
    "probed": 2, "scores": 3,
}  # fmt: skip
"""Version of each stage's code; of a stage that is not listed, 1.

To be raised when a stage makes something else of the same inputs: its artifacts are then made again, and
finished trials with the earlier version are stale.
"""
DIGEST = "digest"
"""Stage that stores digests of files and folders outside the store."""
LOCK_POLL_SECONDS = 10.0
"""Seconds between progress reports while waiting for a lock."""


class LocalCopy(Protocol):
    """The copy here of an artifact that is at a URL."""

    def fetch(self) -> None:
        """Brings the files here, unless they are."""

    def has(self, name: str) -> bool:
        """Whether a file is among them, which needs none of them here."""


@dataclass(frozen=True, slots=True)
class Artifact:
    stage: str
    key: str
    folder: Path
    """Where its files are, or will be once `path` is asked for."""
    digest: str
    """SHA-256 over the names and bytes of its files, except FILES_WITH_TIMINGS."""
    seconds: float
    """Time it took to build."""
    made: str | None
    """When it was built: UTC, ISO 8601; None in a store of an earlier version."""
    code: str | None
    """Digest of the code that built it, see `code.code_digest`; None likewise."""
    packages: dict[str, str | None] | None
    """Package -> version that built it; None likewise."""
    copy: LocalCopy | None = field(default=None, compare=False, repr=False)
    """Of an artifact at a URL; None for one that is in a folder anyway."""

    @property
    def path(self) -> Path:
        """The artifact's folder, with its files."""
        if self.copy:
            self.copy.fetch()
        return self.folder

    def has(self, name: str) -> bool:
        """Whether it has such a file; brings none of a URL's files here."""
        return self.copy.has(name) if self.copy else (self.folder / name).exists()

    def identity(self) -> dict[str, str]:
        """What a later stage hashes as its input: the content, not how it was produced."""
        return {"stage": self.stage, "digest": self.digest}


def json_default(value: Any) -> Any:
    """Configs, artifacts and paths as JSON data, without fields marked NOT_IN_KEY."""
    if isinstance(value, Artifact):
        return value.identity()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in fields(value) if _is_in_key(f, value)}
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} can't be part of a key")


def _is_in_key(field: Field[Any], value: Any) -> bool:
    in_key = field.metadata.get("in_key", True)
    return getattr(value, field.name) != field.default if in_key == "unless default" else bool(in_key)


def content_key(stage: str, version: int, inputs: Mapping[str, Any]) -> str:
    text = json.dumps([stage, version, inputs], sort_keys=True, default=json_default)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def files_of(path: Path) -> list[Path]:
    """The files that a path outside the store stands for: itself, those of a folder, or those that match it
    as a pattern (`shards/*.jsonl`); in order, and none if there are none."""
    if path.is_file():
        return [path]
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file())
    if not glob.has_magic(str(path)):
        return []
    names = glob.iglob(str(path), recursive=True)  # noqa: PTH207 - a pattern, absolute or not
    return sorted(file for file in map(Path, names) if file.is_file())


def digest_file(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _fixed_part(pattern: Path) -> Path:
    """The folder of a pattern that has no wildcard."""
    return next(parent for parent in pattern.parents if not glob.has_magic(str(parent)))


def stage_version(stage: str) -> int:
    return STAGE_VERSIONS.get(stage, 1)


class NotInStore(Exception):
    """Raised inside `find_only` for an artifact that is not in the store."""

    def __init__(self, stage: str, inputs: Mapping[str, Any]) -> None:
        super().__init__(f"{stage} is not in the store")
        self.stage, self.version = stage, stage_version(stage)
        self.inputs: dict[str, Any] = json.loads(json.dumps(inputs, default=json_default))


_find_only: ContextVar[bool] = ContextVar("find_only", default=False)


@contextmanager
def find_only() -> Iterator[None]:
    """Inside this context no artifact is built: a missing one raises `NotInStore`."""
    token = _find_only.set(True)
    try:
        yield
    finally:
        _find_only.reset(token)


_digests: dict[str, str] = {}
"""Path and state of a file or folder outside the store -> its digest, as this process has found it."""
_files_read: ContextVar[dict[str, str] | None] = ContextVar("files_read", default=None)


@contextmanager
def record_files() -> Iterator[dict[str, str]]:
    """Path -> digest of each file or folder outside the store whose content is asked for in this context."""
    files: dict[str, str] = {}
    token = _files_read.set(files)
    try:
        yield files
    finally:
        _files_read.reset(token)


@contextmanager
def hold_lock(path: str) -> Iterator[None]:
    """Holds the lock at `path`. While waiting, reports progress so that our own watchdog does not kill us."""
    from filelock import FileLock, Timeout  # slow, and completion reads only the schema

    lock = FileLock(path)
    while True:
        try:
            lock.acquire(timeout=LOCK_POLL_SECONDS)
            break
        except Timeout:
            keep_alive()
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            place = Path(path) if Path(path).exists() else Path(path).parent
            raise denied(place, "the store is shared") from error
    try:
        yield
    finally:
        lock.release()


class SharedLines(Protocol):
    """The lines of a growing file, at a URL."""

    def read(self) -> list[bytes]:
        """All lines that any machine has put there."""

    def add(self, line: bytes) -> None:
        """Puts a line there, soon and with others."""

    def close(self, *, patiently: bool) -> None:
        """Puts the rest there; waits for a store that is away if `patiently`."""


class Store:
    def __init__(self, root: str | Path, *, writes: bool = True) -> None:
        """`writes`: False for a store that is only looked into, as another's study may name any folder."""
        self.root, self._writes = Path(root), writes

    def find(self, stage: str, inputs: Mapping[str, Any]) -> Artifact | None:
        artifact = self._read(stage, content_key(stage, stage_version(stage), inputs))
        if artifact is None and _find_only.get() and stage != DIGEST:
            raise NotInStore(stage, inputs)
        return artifact

    def build(
        self,
        stage: str,
        inputs: Mapping[str, Any],
        make: Callable[[Path], None],
        *,
        resume: bool = False,
        checkpoints: Sequence[str] = (),
    ) -> Artifact:
        """The artifact of `stage` for `inputs`; `make(folder)` fills its folder if it does not exist yet.

        With `resume`, `make` gets the folder as an interrupted attempt left it, otherwise an empty one.
        `checkpoints`: folders in it; the entries of the first appear whole, as `step-NUMBER`. Where the store
        is at a URL, the newest is uploaded with the other folders, and an attempt on any machine resumes it.
        """
        version = stage_version(stage)
        key = content_key(stage, version, inputs)
        if existing := self.find(stage, inputs):
            return existing
        final = self.root / stage / key
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"paths.artifacts={self.root}: can't write to it: {error.strerror}") from error
        with hold_lock(f"{final}.lock"):
            if existing := self._read(stage, key):
                return existing
            partial = final.with_name(f"{key}.partial")
            if partial.exists() and not resume:
                shutil.rmtree(partial)
            partial.mkdir(exist_ok=True)
            started = time.perf_counter()
            with self._uploading(partial, checkpoints) if checkpoints else nullcontext():
                make(partial)
            manifest = {
                "stage": stage,
                "version": version,
                "digest": digest_folder(partial),
                "seconds": round(time.perf_counter() - started, 3),
                "made": datetime.now(UTC).isoformat(),
                "code": code_digest(),
                "packages": package_versions(),
                "files": file_stats(partial),
                "inputs": json.loads(json.dumps(inputs, default=json_default)),
            }
            write_manifest(partial, manifest)
            if not self._publish(partial, manifest):
                shutil.rmtree(partial)
                return self._existing(stage, key)
            if final.exists():  # it is damaged: `_read` refused it
                shutil.rmtree(final)
            partial.rename(final)
        return self._existing(stage, key)

    def manifest(self, stage: str, key: str) -> dict[str, Any]:
        """The manifest of an artifact. Raises FileNotFoundError and UserError."""
        return read_manifest(self.root / stage / key)

    def lines(self, file: Path) -> SharedLines | None:
        """Where the lines of a growing file of the store are kept beside it; None: nowhere else."""
        return None

    def _uploading(self, partial: Path, checkpoints: Sequence[str]) -> AbstractContextManager[None]:
        """While what is inside runs, the checkpoints in `partial` go to where another machine finds them."""
        return nullcontext()

    def _publish(self, partial: Path, manifest: Mapping[str, Any]) -> bool:
        """Makes a finished artifact known; False if another one of this key is, which counts."""
        return True

    def _existing(self, stage: str, key: str) -> Artifact:
        artifact = self._read(stage, key)
        assert artifact is not None
        return artifact

    def path_digest(self, path: Path) -> str:
        """SHA-256 of a file, or of all files of a folder or pattern, computed again when a size, a time or an
        inode differs.

        The digest is kept in this process, and in the store where that can be written to.
        """
        files = [path] if path.is_file() else files_of(path)
        root = path if path.exists() else _fixed_part(path)
        stats = [(str(p.relative_to(root)), p.stat()) for p in files]
        state = [(name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for name, s in stats]

        inputs = {"path": path.absolute(), "files": state}
        digest = _digests.get(seen := repr(inputs))
        if digest is None and (known := self.find(DIGEST, inputs)):
            digest = read_text(known.path / DIGEST)
        elif digest is None:
            digest = digest_file(path) if path.is_file() else digest_files(root, files)
            if self._writes and not _find_only.get() and self.root.is_dir():
                with suppress(OSError, UserError):  # it may be read-only
                    self.build(DIGEST, inputs, partial(_write_digest, digest=digest))
        _digests[seen] = digest
        if (files_read := _files_read.get()) is not None:
            files_read[str(path)] = digest
        return digest

    def _read(self, stage: str, key: str) -> Artifact | None:
        """The artifact; None if it is missing or damaged."""
        path = self.root / stage / key
        try:
            manifest = read_manifest(path)
        except FileNotFoundError:
            return None
        except UserError:
            manifest = {}
        if not intact(path, manifest, update=self._writes and not _find_only.get()):
            log.warning("%s is damaged: its files don't match its manifest; building it again", path)
            return None
        return as_artifact(stage, key, path, manifest)


def as_artifact(stage: str, key: str, folder: Path, manifest: Mapping[str, Any]) -> Artifact:
    """The artifact that a manifest describes."""
    origin = [manifest.get(name) for name in ("made", "code", "packages")]
    return Artifact(stage, key, folder, manifest["digest"], manifest["seconds"], *origin)


def _write_digest(folder: Path, digest: str) -> None:
    (folder / DIGEST).write_text(digest)
