"""The newest checkpoint of a training, at a URL, so that another machine goes on where this one ended.

While the training runs, a thread looks for new checkpoints in its folder and uploads each, with the other
files that the folder has by then; files that are there already are not sent again. `newest.json`, put last,
names them with their digests. When the artifact is there, all of it is removed.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import TypedDict
from uuid import uuid4

from limo_ablate.core.artifacts import digest_file
from limo_ablate.core.errors import UserError
from limo_ablate.core.reading import parse_json
from limo_ablate.core.remote.files import RemoteObject, check_names, fetch_file
from limo_ablate.core.remote.object_store import MissingObject, ObjectStore

POINTER = "newest.json"
LOOK_SECONDS = 1.0
"""Seconds between two looks for a new checkpoint."""

log = logging.getLogger(__name__)


class _File(RemoteObject):
    object: str
    """Its name at the URL."""


class _Newest(TypedDict):
    checkpoint: str
    files: dict[str, _File]


class CheckpointUploads:
    """A context: fetches a newer checkpoint than the one here, then uploads new ones until it is left."""

    def __init__(self, objects: ObjectStore, partial: Path, checkpoints: Sequence[str]) -> None:
        """`partial`: the training's folder; `checkpoints`: as for `Store.build`."""
        self._objects, self._partial = objects, partial
        self._checkpoints, *self._others = checkpoints
        self._folder, self._own = _folder(partial), uuid4().hex
        self._links = partial.with_name(f"{partial.name}.links")
        self._sent: dict[tuple[str, int, int], _File] = {}
        """Name, size and time of each file that is at the URL."""
        self._newest, self._ended = "", Event()
        self._thread = Thread(target=self._watch, name="checkpoints", daemon=True)

    def __enter__(self) -> None:
        self._restore()
        self._newest = self._newest_here()
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        shutil.rmtree(self._links, ignore_errors=True)
        if kind is not None:  # the training was asked to end, or failed: another machine may go on
            self._upload(patience=0)
            shutil.rmtree(self._links, ignore_errors=True)

    def remove(self) -> None:
        """Removes what is at the URL, of this and of other machines."""
        self._objects.delete(self._objects.names(self._folder))

    def _newest_here(self) -> str:
        folder = self._partial / self._checkpoints
        return max((entry.name for entry in folder.glob("step-*")), default="")

    def _restore(self) -> None:
        """Has the checkpoint of the URL here, where it is newer than the one here. Raises UserError."""
        name = f"{self._folder}/{POINTER}"
        if (content := self._objects.get(name)) is None:
            return
        newest: _Newest = parse_json(content, f"{self._objects.url}/{name}", _Newest)
        check_names(newest["files"], name)
        if newest["checkpoint"] <= self._newest_here():
            return
        coming = self._partial.with_name(f"{self._partial.name}.coming")
        shutil.rmtree(coming, ignore_errors=True)
        try:
            for file, sent in newest["files"].items():
                fetch_file(self._objects, sent["object"], sent, coming / file)
        except MissingObject as error:  # another machine has a newer one, or has finished
            log.warning("the checkpoint at the store can't be used: %s; going on without it", error)
            shutil.rmtree(coming, ignore_errors=True)
            return
        shutil.rmtree(self._partial)
        coming.rename(self._partial)
        log.info("going on from %s, which is at the store", newest["checkpoint"])

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            self._upload(patience=None)

    def _upload(self, patience: float | None) -> None:
        """Uploads the newest checkpoint if it is not there. The training goes on where that fails."""
        newest = self._newest_here()
        if newest <= self._newest:
            return
        try:
            files = {name: self._send(name, link, patience) for name, link in self._linked(newest)}
            content = json.dumps({"checkpoint": newest, "files": files}).encode()
            self._objects.put(f"{self._folder}/{POINTER}", content, patience)
            self._newest = newest
            needed = {file["object"] for file in files.values()}
            old = [key for key, file in self._sent.items() if file["object"] not in needed]
            self._objects.delete([self._sent.pop(key)["object"] for key in old])
        except (UserError, OSError) as error:
            log.warning("checkpoint %s is not at the store: %s", newest, error)

    def _linked(self, newest: str) -> Iterator[tuple[str, Path]]:
        """Files of the folder with the newest checkpoint alone, as hard links: the training removes old
        checkpoints meanwhile."""
        shutil.rmtree(self._links, ignore_errors=True)
        found = []
        for folder in (f"{self._checkpoints}/{newest}", *self._others):
            for file in sorted((self._partial / folder).rglob("*")):
                name = file.relative_to(self._partial).as_posix()
                if "partial" not in name and file.is_file():
                    link = self._links / name
                    link.parent.mkdir(parents=True, exist_ok=True)
                    os.link(file, link)
                    found.append((name, link))
        yield from found

    def _send(self, name: str, link: Path, patience: float | None) -> _File:
        stat = link.stat()
        key = name, stat.st_size, stat.st_mtime_ns
        if key not in self._sent:
            place = f"{self._folder}/{self._own}/{len(self._sent)}-{uuid4().hex[:8]}"
            self._objects.put(place, link, patience)
            self._sent[key] = {"size": stat.st_size, "sha256": digest_file(link), "object": place}
        return self._sent[key]


def _folder(partial: Path) -> str:
    """Of `.../STAGE/KEY.partial`."""
    return f"{partial.parent.name}/{partial.name}"
