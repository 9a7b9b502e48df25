"""What killed makers have left in a store at a URL, which no trial will ever read.

    STAGE/KEY/AT/...            where AT is not what the artifact's manifest names
    STAGE/KEY.partial/...       where the artifact exists, or no pointer names the object

There are no locks at a URL: age tells what is still being made, by the store's own times. What belongs to an
artifact, the newest checkpoint of a training and completions are never among it.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.manifest import MANIFEST
from limo_ablate.core.remote.checkpoints import POINTER
from limo_ablate.core.remote.object_store import ObjectStore, StoredObject
from limo_ablate.core.text import counted

SHORTEST_DAYS = 1.0
"""Nobody takes so long between two files, or from the last file to the manifest."""
KEY = re.compile(r"([0-9a-f]{16})(\.partial)?")
DAMAGED = f"{MANIFEST}.damaged-"


@dataclass(frozen=True, slots=True)
class Leftovers:
    """As text, a line for each kind."""

    url: str
    objects: tuple[StoredObject, ...]
    """All that the store has."""
    freed: tuple[StoredObject, ...]
    """What of it was left; with `delete`, what of that was removed."""
    days: float
    delete: bool

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "store": self.url,
            "bytes": sum(one.size for one in self.objects),
            "artifacts": sum(one.name.endswith(f"/{MANIFEST}") for one in self.objects),
            "deleted": self.delete,
            "not_needed": [{"kind": _kind(one), "path": one.name, "bytes": one.size} for one in self.freed],
        }

    def __str__(self) -> str:
        whole = f"{counted(len(self.objects), 'object')}, {_megabytes(self.objects)}"
        lines = [f"{self.url}: {whole}; left by makers that were killed, older than {self.days:g} days:"]
        for kind, count in sorted(Counter(map(_kind, self.freed)).items()):
            own = [one for one in self.freed if _kind(one) == kind]
            lines.append(f"  {kind:24}{count:6,}  {_megabytes(own):>12}")
        total = f"{counted(len(self.freed), 'object')}, {_megabytes(self.freed)}"
        lines.append(f"freed {total}" if self.delete else f"--delete would free {total}")
        return "\n".join(lines)


def collect(objects: ObjectStore, days: float, *, delete: bool) -> Leftovers:
    """Finds what killed makers have left, and removes it with `delete`. Raises UserError."""
    if days < SHORTEST_DAYS:
        raise UserError(
            f"--older-than={days:g}: at least {SHORTEST_DAYS:g} day for a store at a URL; it has no locks: "
            "what is being made now can't be told from what was left"
        )
    every = objects.listed()
    before = datetime.now(UTC) - timedelta(days=days)
    freed: list[StoredObject] = []
    for folder, found in _by_folder(every).items():
        left = [one for group in _left(objects, folder, found) for one in group if _all_old(group, before)]
        freed += left
        if delete:
            objects.delete([one.name for one in left])
    return Leftovers(objects.url, tuple(every), tuple(freed), days, delete)


def _by_folder(every: Iterable[StoredObject]) -> dict[str, list[StoredObject]]:
    """`STAGE/KEY` or `STAGE/KEY.partial` -> its objects."""
    folders: dict[str, list[StoredObject]] = defaultdict(list)
    for one in every:
        parts = one.name.split("/")
        if len(parts) > 2 and KEY.fullmatch(parts[1]):
            folders["/".join(parts[:2])].append(one)
    return folders


def _left(objects: ObjectStore, folder: str, found: list[StoredObject]) -> Iterator[list[StoredObject]]:
    """Groups of objects in the folder that nothing names, each of one maker."""
    stage_and_key = folder.removesuffix(".partial")
    artifact = _read(objects, f"{stage_and_key}/{MANIFEST}")
    if folder.endswith(".partial"):
        pointer = None if artifact else _read(objects, f"{folder}/{POINTER}")
        named = {file["object"] for file in pointer["files"].values()} if pointer else set()
        named |= {f"{folder}/{POINTER}"} if pointer else set()
        yield from ([one] for one in found if one.name not in named)
        return
    makers: dict[str, list[StoredObject]] = defaultdict(list)
    for one in found:
        maker, *rest = one.name.split("/")[2:]
        if rest or maker.startswith(DAMAGED):
            makers[maker.removeprefix(DAMAGED)].append(one)
    yield from (group for maker, group in makers.items() if not artifact or maker != artifact["at"])


def _read(objects: ObjectStore, name: str) -> dict[str, Any] | None:
    """A manifest or a pointer. Raises UserError for one that is unreadable: what it names is unknown."""
    if (content := objects.get(name)) is None:
        return None
    with suppress(ValueError):
        found = json.loads(content)
        if isinstance(found, dict) and ("at" in found or isinstance(found.get("files"), dict)):
            return found
    raise UserError(f"{objects.url}/{name}: not written by limo-ablate, so nothing is freed")


def _all_old(group: Iterable[StoredObject], before: datetime) -> bool:
    return all(one.changed < before for one in group)


def _kind(one: StoredObject) -> str:
    stage, key = one.name.split("/")[:2]
    return f"{stage} (unfinished)" if key.endswith(".partial") else stage


def _megabytes(objects: Iterable[StoredObject]) -> str:
    return f"{sum(one.size for one in objects) / 1e6:,.1f} MB"
