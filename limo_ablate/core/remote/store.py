"""The store of artifacts at a URL, with local copies in a folder of bounded size.

    URL/limo-ablate.json              written once; without it, it is another store, or emptied
    URL/STAGE/KEY/AT/FILE             an artifact's files; AT is its maker's own
    URL/STAGE/KEY/artifact.json       its manifest, with AT and each file's digest: created last
    URL/weights/KEY.partial/...       a training's newest checkpoint (`limo_ablate.core.remote.checkpoints`)
    URL/drawn/KEY/...                 completions in batches (`limo_ablate.core.remote.lines`)

An artifact exists once its manifest does. Of two makers one creates the manifest; the other removes its own
files and takes the winner's. Files are compared with their digests as they come in, and come only when an
artifact's `path` is asked for. The local copies are a store of their own, checked as any other, in which the
digests of files outside the store stay.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from limo_ablate.core.artifacts import DIGEST, Artifact, Store, as_artifact, digest_file, hold_lock
from limo_ablate.core.errors import TrialFailure, UserError
from limo_ablate.core.files import write_atomically
from limo_ablate.core.manifest import (
    MANIFEST,
    Manifest,
    digest_of,
    file_stats,
    files_in,
    write_manifest,
)
from limo_ablate.core.reading import parse_json
from limo_ablate.core.remote.cached_copies import CachedCopies
from limo_ablate.core.remote.checkpoints import CheckpointUploads
from limo_ablate.core.remote.files import RemoteObject, at_once, check_names, fetch_file
from limo_ablate.core.remote.lines import LineBatches
from limo_ablate.core.remote.object_store import MissingObject, ObjectStore, store_folder

MARK = "limo-ablate.json"

log = logging.getLogger(__name__)


class RemoteManifest(Manifest):
    """What is read of a manifest at a URL by name."""

    at: str
    objects: dict[str, RemoteObject]


@cache
def remote_store(url: str, cache: str, gigabytes: float) -> RemoteStore:
    """The store at a URL, one in each process."""
    return RemoteStore(ObjectStore(url), store_folder(url, cache), gigabytes)


class RemoteStore(Store):
    def __init__(self, objects: ObjectStore, folder: Path, gigabytes: float) -> None:
        """`folder`: for the local copies, of at most so many gigabytes where not all are in use."""
        super().__init__(folder)
        self._objects, self._copies = objects, CachedCopies(folder, round(gigabytes * 1e9))
        self._manifests: dict[tuple[str, str], dict[str, Any]] = {}
        """Those that this process has found at the URL."""
        self._uploads: dict[Path, CheckpointUploads] = {}
        self._is_checked = False

    def manifest(self, stage: str, key: str) -> dict[str, Any]:
        if (found := self._find(stage, key)) is None:
            raise FileNotFoundError(f"{self._objects.url}/{stage}/{key}")
        return found

    def lines(self, file: Path) -> LineBatches:
        self._check(creates=True)
        return LineBatches(self._objects, f"{file.parent.name}/{file.stem}")

    def bring(self, stage: str, key: str) -> None:
        """Has the artifact's files here, in use by this process. Raises UserError and TrialFailure."""
        folder = self.root / stage / key
        self._copies.use(folder)
        if super()._read(stage, key):
            return
        with hold_lock(f"{folder}.lock"):
            if super()._read(stage, key):
                return
            if (manifest := self._find(stage, key)) is None:
                raise TrialFailure(f"{self._objects.url}/{stage}/{key} has been removed; run it again")
            self._download(folder, manifest)
        self._copies.trim()

    def _read(self, stage: str, key: str) -> Artifact | None:
        here = super()._read(stage, key)
        if stage == DIGEST:
            return here
        if here:
            return replace(here, copy=_Copy(self, here))
        if (found := self._find(stage, key)) is None:
            return None
        there = as_artifact(stage, key, self.root / stage / key, found)
        return replace(there, copy=_Copy(self, there, found["objects"]))

    def _find(self, stage: str, key: str) -> dict[str, Any] | None:
        """The manifest at the URL. Raises UserError where something else is there."""
        if (stage, key) in self._manifests:
            return self._manifests[stage, key]
        self._check(creates=False)
        name = f"{stage}/{key}/{MANIFEST}"
        if (content := self._objects.get(name)) is None:
            return None
        where = f"{self._objects.url}/{name}"
        found: dict[str, Any] = parse_json(content, where, RemoteManifest)
        check_names([*found["objects"], found["at"]], where)
        if digest_of({file: one["sha256"] for file, one in found["objects"].items()}) != found["digest"]:
            raise UserError(f"{where}: its digest is not that of its files; limo-ablate did not write it")
        self._manifests[stage, key] = found
        return found

    def _check(self, *, creates: bool) -> None:
        """Raises UserError for a store that was here and is gone; a new one is marked if `creates`."""
        if self._is_checked:
            return
        known, there = self.root / MARK, self._objects.get(MARK)
        before = known.read_bytes() if known.exists() else None
        if before is not None and there != before:
            what = "another store is there" if there else "it is empty, and was not before"
            raise UserError(
                f"{self._objects.url}: {what}: is the right bucket or disk there? If so, remove {self.root}"
            )
        if there is None and creates:
            self._objects.create(MARK, json.dumps({"store": uuid4().hex}).encode())
            there = self._objects.get(MARK)
        if there is not None:
            self.root.mkdir(parents=True, exist_ok=True)
            write_atomically(known, there)
            self._is_checked = True

    def _download(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        coming = folder.with_name(f"{folder.name}.coming")
        shutil.rmtree(coming, ignore_errors=True)
        coming.mkdir(parents=True)
        source = f"{folder.parent.name}/{folder.name}/{manifest['at']}"

        def fetch(item: tuple[str, RemoteObject]) -> None:
            fetch_file(self._objects, f"{source}/{item[0]}", item[1], coming / item[0])

        try:
            at_once(fetch, manifest["objects"].items())
        except MissingObject as error:
            self._set_aside(folder, manifest, str(error))
        own = {name: value for name, value in manifest.items() if name not in ("at", "objects")}
        write_manifest(coming, {**own, "files": file_stats(coming)})
        shutil.rmtree(folder, ignore_errors=True)
        coming.rename(folder)

    def _set_aside(self, folder: Path, manifest: Mapping[str, Any], reason: str) -> None:
        """Renames the manifest of a damaged artifact, so that the next attempt makes it again; raises
        TrialFailure."""
        stage, key = folder.parent.name, folder.name
        name = f"{stage}/{key}/{MANIFEST}"
        self._manifests.pop((stage, key), None)
        now = self._find(stage, key)
        if now and now["at"] == manifest["at"]:
            self._objects.put(f"{name}.damaged-{now['at']}", json.dumps(now).encode())
            self._objects.delete([name])
            del self._manifests[stage, key]
        raise TrialFailure(f"{self._objects.url}/{stage}/{key} is damaged: {reason}; run it again")

    def _uploading(self, partial: Path, checkpoints: Sequence[str]) -> AbstractContextManager[None]:
        self._check(creates=True)
        self._uploads[partial] = CheckpointUploads(self._objects, partial, checkpoints)
        return self._uploads[partial]

    def _publish(self, partial: Path, manifest: Mapping[str, Any]) -> bool:
        stage, key = partial.parent.name, partial.stem
        if stage == DIGEST:
            return True
        self._check(creates=True)
        at, name = uuid4().hex, f"{stage}/{key}/{MANIFEST}"
        files = {file.relative_to(partial).as_posix(): file for file in files_in(partial)}

        def send(item: tuple[str, Path]) -> tuple[str, RemoteObject]:
            self._objects.put(f"{stage}/{key}/{at}/{item[0]}", item[1])
            return item[0], {"size": item[1].stat().st_size, "sha256": digest_file(item[1])}

        record = {**manifest, "at": at, "objects": dict(at_once(send, files.items()))}
        content = json.dumps(record, indent=1, sort_keys=True).encode()
        there = None
        while not self._objects.create(name, content) and not (there := self._find(stage, key)):
            continue  # what was there has been set aside
        if there and there["at"] != at:  # else an earlier try, which seemed to fail, has created it
            log.info("%s %s was made elsewhere at the same time; that one is taken", stage, key)
            self._objects.delete([f"{stage}/{key}/{at}/{file}" for file in files])
            return False
        self._copies.use(self.root / stage / key)
        if uploads := self._uploads.pop(partial, None):
            uploads.remove()
        return True

    def _existing(self, stage: str, key: str) -> Artifact:
        self._copies.trim()
        return super()._existing(stage, key)


class _Copy:
    """The local copy of an artifact, a `LocalCopy`; `names`: its files, where none is here yet."""

    def __init__(
        self, store: RemoteStore, artifact: Artifact, names: Mapping[str, Any] | None = None
    ) -> None:
        self._store, self._artifact, self._names = store, artifact, names
        self._is_here = False

    def fetch(self) -> None:
        if not self._is_here:
            self._store.bring(self._artifact.stage, self._artifact.key)
            self._is_here = True

    def has(self, name: str) -> bool:
        return (self._artifact.folder / name).exists() if self._names is None else name in self._names
