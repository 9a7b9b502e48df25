"""Objects at a URL (`s3://bucket/folder`, `gs://bucket/folder`, `file:///folder`), by obstore.

A store that is slow, away or errs is waited for, with one line that says so, and then is one clear error: an
object is missing only where the store itself says that it is.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from limo_ablate.core.errors import StoreUnreachable, UserError
from limo_ablate.core.progress import keep_alive

T = TypeVar("T")
URL = re.compile(r"(?:s3|gs)://[a-z0-9][a-z0-9._-]+(?:/[\w.-]+)*/?|file:///[\w./-]+")
PATIENCE = 300.0
"""Seconds for which a store is waited for at each operation."""
SAID_AFTER = 5.0
"""Seconds after which waiting is said; stores refuse a request now and then."""
PAUSES = (0.2, 1.0, 3.0)
"""Seconds before each further try; the last value also for all that follow."""
PIECE = 8 * 2**20
"""Bytes that are asked for or sent at a time: small enough for a slow line within the time limit."""
LARGEST = 2**28
"""Bytes of an object that is read at once."""
MOST_PARTS = 9_000
"""Parts of an upload; S3 takes 10,000."""
REQUEST_SECONDS, CONNECT_SECONDS = 60, 5
REFUSED = ("NotSupportedError", "InvalidPathError", "UnknownConfigurationKeyError", "PreconditionError")

log = logging.getLogger(__name__)


def is_url(place: str) -> bool:
    return "://" in place


def check_url(url: str, key: str) -> None:
    """Raises UserError where `url`, the value of `key`, is no place for objects."""
    if not URL.fullmatch(url) or ".." in url:
        raise UserError(f"{key}={url}: not a store; it is a folder, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER "
                        "or file:///FOLDER")  # fmt: skip


def store_folder(place: str, cache: str) -> Path:
    """The folder of the store `place`, or that of its local copies: one for each URL, below `cache`."""
    if not is_url(place):
        return Path(place)
    name = re.sub(r"[^\w.-]+", "-", place)[-80:].strip("-")
    return Path(cache) / f"{name}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"


class MissingObject(Exception):
    """The store says that it has no such object."""


class TornObject(Exception):
    """An object is not as long as what was sent."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    name: str
    size: int
    changed: datetime
    """When it was written, by the store's clock."""


class ObjectStore:
    """The objects below a URL. Every method waits while the store can't be reached, and then raises
    StoreUnreachable; UserError where the store refuses."""

    def __init__(self, url: str, client: Any = None, patience: float = PATIENCE) -> None:
        """`client`: an obstore store, opened by the URL if None."""
        self.url, self.patience, self._client = url, patience, client

    def get(self, name: str) -> bytes | None:
        """The object; None where the store has none."""

        try:
            return self._patiently(lambda: self._content(name))
        except MissingObject:
            return None

    def _content(self, name: str) -> bytes:
        import obstore

        found = obstore.get(self.client, name)
        if found.meta["size"] > LARGEST:
            raise UserError(f"{self.url}/{name}: has more than {LARGEST >> 20} MiB")
        return bytes(found.bytes())

    def create(self, name: str, content: bytes) -> bool:
        """Whether the object was new; one that exists stays as it is.

        A try that seemed to fail may have done its work: False says that the object exists, and may be ours.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError

        try:
            self._patiently(lambda: obstore.put(self.client, name, content, mode="create"))
        except AlreadyExistsError:
            return False
        return True

    def put(self, name: str, content: bytes | Path, patience: float | None = None) -> None:
        """Writes an object, a file's content in parts; the store must then have all of it."""
        import obstore

        size = content.stat().st_size if isinstance(content, Path) else len(content)
        piece = max(PIECE, -(-size // MOST_PARTS))

        def send() -> None:
            obstore.put(self.client, name, content, chunk_size=piece, max_concurrency=4)
            if obstore.head(self.client, name)["size"] != size:
                raise TornObject(f"{name} has another size than what was sent")

        self._patiently(send, patience)

    def download(self, name: str, size: int, into: IO[bytes]) -> str:
        """Writes the object, which is of `size` bytes, piece by piece; returns its SHA-256.

        Raises MissingObject.
        """
        import obstore

        total = hashlib.sha256()
        for start in range(0, size, PIECE):
            length = min(PIECE, size - start)
            get = partial(obstore.get_range, self.client, name, start=start, length=length)
            piece = self._patiently(get)
            total.update(piece)
            into.write(piece)
            keep_alive()
        return total.hexdigest()

    def names(self, folder: str) -> list[str]:
        """The objects in a folder, in order."""
        return sorted(one.name for one in self.listed(folder))

    def listed(self, folder: str | None = None) -> list[StoredObject]:
        """The objects in a folder, or all."""
        import obstore

        found = self._patiently(lambda: obstore.list(self.client, folder).collect())
        return [StoredObject(str(one["path"]), one["size"], one["last_modified"]) for one in found]

    def delete(self, names: list[str]) -> None:
        """Removes objects; one that is gone already is no error."""
        import obstore

        for name in names:
            try:
                self._patiently(partial(obstore.delete, self.client, name))
            except MissingObject:
                continue

    @property
    def client(self) -> Any:
        if self._client is None:
            self._client = _open(self.url)
        return self._client

    def _patiently(self, action: Callable[[], T], patience: float | None = None) -> T:
        from obstore.exceptions import AlreadyExistsError

        started, tries, said = time.monotonic(), 0, False
        patience = self.patience if patience is None else patience
        while True:
            try:
                return action()
            except (AlreadyExistsError, UserError):
                raise
            except Exception as error:
                reason = _line(error)
                if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in reason:
                    raise MissingObject(reason) from error
                if _is_refusal(error):
                    raise UserError(f"{self.url}: the store refuses: {reason}{_advice(self.url)}") from error
                waited = time.monotonic() - started
                if waited > patience:
                    raise StoreUnreachable(
                        f"{self.url}: the store could not be used for {waited:.0f} s: {reason}; nothing is "
                        "lost: run the same command again when it can be"
                    ) from error
                if waited > SAID_AFTER and not said:
                    said = True
                    log.warning("%s: waiting up to %.0f s for the store: %s", self.url, patience, reason)
            keep_alive()
            time.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1


def _open(url: str) -> Any:
    try:
        from obstore.store import from_url
    except ImportError as error:
        raise UserError(f"{url}: {error}; pip install 'limo-ablate[store]'") from error
    if url.startswith("file:"):
        return from_url(url, mkdir=True)
    plain = any(
        os.environ.get(name, "").startswith("http://") for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    )
    options: Any = {
        "timeout": f"{REQUEST_SECONDS}s",
        "connect_timeout": f"{CONNECT_SECONDS}s",
        **({"allow_http": True} if plain else {}),
    }
    try:
        return from_url(url, client_options=options, retry_config={"max_retries": 0})
    except Exception as error:
        raise UserError(f"{url}: can't be opened: {_line(error)}{_advice(url)}") from error


def _is_refusal(error: Exception) -> bool:
    """Whether trying again would not help: no permission, no such bucket, no such operation."""
    denied = isinstance(error, PermissionError | FileNotFoundError)
    name = type(error).__name__
    return denied or name in (*REFUSED, "PermissionDeniedError", "UnauthenticatedError")


def _advice(url: str) -> str:
    if url.startswith("s3:"):
        return "; see AWS_ACCESS_KEY_ID, AWS_REGION and AWS_ENDPOINT_URL (docs/clusters.md)"
    return "; see GOOGLE_APPLICATION_CREDENTIALS (docs/clusters.md)" if url.startswith("gs:") else ""


def _line(error: Exception) -> str:
    text = " ".join(str(error).partition("Debug source")[0].split())
    return text or type(error).__name__
