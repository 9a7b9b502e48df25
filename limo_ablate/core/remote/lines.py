"""The lines of a growing file, at a URL: an object for each batch, as objects can't be appended to."""

from __future__ import annotations

import logging
import time
from uuid import uuid4

from limo_ablate.core.errors import StoreUnreachable
from limo_ablate.core.remote.object_store import ObjectStore

BATCH_SECONDS, BATCH_LINES = 20.0, 1000
"""A batch is sent after so long, or when it has so many lines."""

log = logging.getLogger(__name__)


class LineBatches:
    """A `SharedLines`: the batches in a folder of the store, by any number of writers."""

    def __init__(self, objects: ObjectStore, folder: str) -> None:
        self._objects, self._folder = objects, folder
        self._waiting: list[bytes] = []
        self._sent = time.monotonic()

    def read(self) -> list[bytes]:
        """All lines, those of earlier batches first."""
        names = self._objects.names(self._folder)
        batches = (self._objects.get(name) or b"" for name in names)
        return [line for batch in batches for line in batch.splitlines(keepends=True)]

    def add(self, line: bytes) -> None:
        self._waiting.append(line)
        due = time.monotonic() - self._sent >= BATCH_SECONDS
        if due or len(self._waiting) >= BATCH_LINES:
            self._send(0)

    def close(self, *, patiently: bool) -> None:
        self._send(None if patiently else 0)

    def _send(self, patience: float | None) -> None:
        """Sends what waits; what can't be sent now goes with the next batch, unless `patience` is None."""
        self._sent = time.monotonic()
        batch, self._waiting = self._waiting, []
        if not batch:
            return
        name = f"{self._folder}/{time.time_ns():020d}-{uuid4().hex[:8]}"
        try:
            self._objects.put(name, b"".join(batch), patience)
        except StoreUnreachable as error:
            if patience is None:
                raise
            self._waiting = batch + self._waiting
            log.warning("%d completions are not at the store yet: %s", len(self._waiting), error)
