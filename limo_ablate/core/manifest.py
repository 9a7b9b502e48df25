"""The manifest of an artifact: its files with their sizes and times, and the digest of their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from limo_ablate.core.errors import UserError
from limo_ablate.core.files import write_atomically
from limo_ablate.core.reading import read_json

MANIFEST = "artifact.json"
FILES_WITH_TIMINGS = ("curve.parquet", "train.json", "pretrain.json")
"""Records that contain timings: left out of digests, so that retraining to the same weights gives the same
digest."""


class Manifest(TypedDict):
    """What is read of an artifact's manifest by name."""

    version: int
    digest: str
    seconds: float
    files: dict[str, list[int]]
    inputs: dict[str, Any]
    made: NotRequired[str | None]
    code: NotRequired[str | None]
    packages: NotRequired[dict[str, str | None] | None]


def digest_folder(folder: Path, only: Collection[str] | None = None) -> str:
    """SHA-256 over the names and bytes of an artifact's files; of those in `only`, if set."""
    return digest_files(folder, [p for p in files_in(folder, only) if p.name not in FILES_WITH_TIMINGS])


def digest_files(folder: Path, files: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for file in files:
        with file.open("rb") as handle:
            _add(total, file.relative_to(folder).as_posix(), hashlib.file_digest(handle, "sha256").digest())
    return total.hexdigest()


def digest_of(digests: Mapping[str, str]) -> str:
    """What `digest_folder` says of files with these SHA-256. Raises UserError for what is none."""
    total = hashlib.sha256()
    for name in sorted(digests, key=Path):
        if Path(name).name not in FILES_WITH_TIMINGS:
            try:
                _add(total, name, bytes.fromhex(digests[name]))
            except ValueError as error:
                raise UserError(f"{name}: {digests[name]!r} is no SHA-256") from error
    return total.hexdigest()


def _add(total: hashlib._Hash, name: str, digest: bytes) -> None:
    total.update(name.encode() + b"\0")
    total.update(digest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the artifact in `folder`. Raises FileNotFoundError and UserError."""
    found: dict[str, Any] = read_json(folder / MANIFEST, Manifest)
    return found


def intact(folder: Path, manifest: Mapping[str, Any], *, update: bool) -> bool:
    """Whether the manifest's files are unchanged; if only times differ, it is updated where that is wanted.

    Files that the manifest does not list are ignored.
    """
    recorded = manifest.get("files", {})
    current = file_stats(folder, recorded)
    if "digest" in manifest and current == recorded:
        return True
    with_timings = [name for name in recorded if Path(name).name in FILES_WITH_TIMINGS]
    if any(name not in current or current[name][:1] != recorded[name][:1] for name in with_timings):
        return False
    if digest_folder(folder, recorded) != manifest.get("digest"):
        return False
    if update:
        with suppress(OSError):  # a read-only store
            write_manifest(folder, {**manifest, "files": current})
    return True


def file_stats(folder: Path, only: Collection[str] | None = None) -> dict[str, list[int]]:
    """File -> its size and modification time in nanoseconds."""
    stats = {p.relative_to(folder).as_posix(): p.stat() for p in files_in(folder, only)}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def files_in(folder: Path, only: Collection[str] | None = None) -> list[Path]:
    """All files but the manifest, or those of `only` that exist."""
    if only is not None:
        return sorted(path for path in map(folder.joinpath, only) if path.is_file())
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(MANIFEST))


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    text = json.dumps(manifest, indent=1, sort_keys=True)
    write_atomically(folder / MANIFEST, f"{text}\n")
