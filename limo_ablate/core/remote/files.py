"""Files at a URL with their digests, sent and fetched some at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict, TypeVar

from limo_ablate.core.errors import UserError
from limo_ablate.core.remote.object_store import MissingObject, ObjectStore

DOWNLOADS = 3
"""Tries to download a file whose content is not what its maker digested."""
TRANSFERS = 4
"""Files that are sent or fetched at the same time."""

T = TypeVar("T")


class RemoteObject(TypedDict):
    """A file at a URL."""

    size: int
    sha256: str


def fetch_file(objects: ObjectStore, name: str, expected: Mapping[str, Any], file: Path) -> None:
    """Downloads an object. Raises MissingObject also where its content is not what is expected."""
    file.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(DOWNLOADS):
        with file.open("wb") as opened:
            found = objects.download(name, expected["size"], opened)
        if found == expected["sha256"]:
            return
    raise MissingObject(f"{name} is not what its maker sent")


def check_names(names: Iterable[str], where: str) -> None:
    """Raises UserError for a name that would lead out of a folder."""
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
            raise UserError(f"{where}: {name!r} is no file of an artifact; limo-ablate did not write it")


def at_once(work: Callable[[Any], T], items: Iterable[Any]) -> list[T]:
    """The work on each item, some at the same time; the first error is raised, and the rest left out."""
    with ThreadPoolExecutor(TRANSFERS) as pool:
        try:
            return list(pool.map(work, items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
