"""Files at a URL (https, s3, gs, ...), kept in this user's cache.

What stands at a URL may change. So its content is pinned: `revision` is the digest of the file, and a file
with another one is refused. A copy with that digest is read again without asking the network.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from functools import cache
from pathlib import Path

from limo_ablate.core.artifacts import digest_file
from limo_ablate.core.errors import UserError

URL = re.compile(r"(https?|s3|gs|gcs|az|abfs)://(?!.*::).+")
"""Addresses that are read; `::` would chain one file system to another."""
PIECE, LARGEST = 2**20, 2**36
"""Bytes that are read at a time, and of a file: 64 GiB."""
DIGEST = re.compile("[0-9a-f]{64}")


def is_url(path: str) -> bool:
    return URL.fullmatch(path) is not None


@cache
def local_copy(url: str, revision: str | None) -> Path:
    """A copy of the file at the URL. Raises UserError where it is not the one that `revision` names."""
    if revision and not DIGEST.fullmatch(revision):
        raise UserError(f"{url}: revision={revision} must be the file's SHA-256 (64 characters)")
    name = re.sub(r"[^\w.-]", "_", url.partition("?")[0].rstrip("/").rpartition("/")[2])[-100:]
    if revision and _is_known(kept := _cache() / revision / name, revision):
        return kept
    _cache().mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=_cache(), delete=False) as partial:
        try:
            found = _download(url, partial)
        except BaseException:
            Path(partial.name).unlink()
            raise
    kept = _cache() / found / name
    kept.parent.mkdir(exist_ok=True)
    Path(partial.name).replace(kept)
    if revision is None:
        raise UserError(f"{url}: what is there may change: set revision={found}, the SHA-256 it has now")
    if found != revision:
        raise UserError(f"{url}: has changed: its SHA-256 is {found}, not revision={revision}")
    return kept


def _is_known(kept: Path, revision: str) -> bool:
    return kept.is_file() and digest_file(kept) == revision


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "limo-ablate" / "files"


def _download(url: str, into: tempfile._TemporaryFileWrapper[bytes]) -> str:
    """Writes what is at the URL; returns its SHA-256."""
    import fsspec  # type: ignore[import-untyped]

    total, size = hashlib.sha256(), 0
    try:
        with fsspec.open(url, "rb") as remote:
            while piece := remote.read(PIECE):
                size += len(piece)
                if size > LARGEST:
                    raise UserError(
                        f"{url}: has more than {LARGEST >> 30} GiB; download it and give its path"
                    )
                total.update(piece)
                into.write(piece)
    except ImportError as error:
        raise UserError(f"{url}: {error}; pip install 'limo-ablate[remote]', or download it") from error
    except UserError:
        raise
    except Exception as error:  # each file system raises kinds of its own; all mean that it can't be read
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{url}: can't be read: {reason}") from error
    return total.hexdigest()
